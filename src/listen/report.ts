// The report of the listening test: one JSON object, what it says in words, and its page.
import { alignedRows } from '../base/text-table.ts';
import { fixed, percent, signed } from '../protocol/number-text.ts';
import { ARMS, type Arm } from './arm.ts';
import { escaped, type PlotSeries, sharePlot } from './plot.ts';
import { type ArmResult, type Interval, type Result, summarize } from './result.ts';
import type { Outcome } from './run.ts';
import { cellOf, DISTANCES, TWINS } from './scene.ts';
import type { Part } from './suite.ts';

/** How the run came about. */
export interface RunFacts {
  readonly model: string;
  readonly part: Part;
  readonly seed: number;
  /** Null: all pairs. */
  readonly minutes: number | null;
  readonly date: string;
  /** Pairs of the part. */
  readonly pairsThere: number;
  readonly likelihood: string;
  readonly notices: readonly string[];
}

export interface ListenReport extends RunFacts, Result {
  readonly schema: 1;
  readonly pairsScored: number;
  readonly pairsReplied: number;
  readonly conclusions: readonly string[];
  readonly outcomes: readonly {
    readonly pair: string;
    readonly arm: Arm;
    readonly wording: number;
    readonly margins: readonly number[] | null;
    readonly replies:
      | readonly { readonly text: string; readonly isRight: boolean; readonly isWrong: boolean }[]
      | null;
  }[];
}

export function reportOf(outcomes: readonly Outcome[], facts: RunFacts): ListenReport {
  const result = summarize(outcomes);
  const untold = outcomes.filter(({ arm }) => arm === 'untold');
  return {
    schema: 1,
    ...facts,
    pairsScored: untold.filter(({ margins }) => margins !== undefined).length,
    pairsReplied: untold.filter(({ replies }) => replies !== undefined).length,
    conclusions: conclusionsOf(result),
    ...result,
    outcomes: outcomes.map(({ pair, arm, wording, margins = null, replies }) => ({
      pair: pair.id,
      arm,
      wording,
      margins,
      replies:
        replies?.map(({ text, verdict: { isRight, isWrong } }) => ({ text, isRight, isWrong })) ??
        null,
    })),
  };
}

/** `0.21 [0.10, 0.33]` */
export function intervalText({ mean, low, high }: Interval, digits = 2): string {
  return `${fixed(mean, digits)} [${fixed(low, digits)}, ${fixed(high, digits)}]`;
}

export function changeText({ mean, low, high }: Interval): string {
  return `${signed(mean, 2)} [${fixed(low, 2)}, ${fixed(high, 2)}]`;
}

/** What can be said and what cannot, a sentence each. */
function conclusionsOf(result: Result): string[] {
  return [
    ...gapSentence(result, 'likelihood'),
    ...gapSentence(result, 'replies'),
    ...['placebo', 'system', 'rule'].flatMap((arm) => armSentence(result, arm)),
  ];
}

const find = ({ rows }: Result, arm: string): ArmResult | undefined =>
  rows.find((row) => row.group === 'listen' && row.arm === arm);

function gapSentence(result: Result, measure: 'likelihood' | 'replies'): string[] {
  const [untold, told] = [find(result, 'untold')?.[measure], find(result, 'told')?.[measure]];
  if (untold == null || told?.change == null) return [];
  const level = 'bothRight' in untold ? untold.bothRight : (untold as Replies).right;
  const what = measure === 'likelihood' ? 'both contexts right' : 'direction carried out';
  const numbers =
    `By ${measure === 'likelihood' ? 'likelihood' : 'free replies'}: ${what} ` +
    `${intervalText(level)} untold, ${changeText(told.change)} when told again`;
  const found = result.power.find((one) => one.group === 'listen' && one.measure === measure);
  return [`${numbers}. ${meaningOf(told.change, found?.detectable ?? null)}`];
}

type Replies = NonNullable<ArmResult['replies']>;

/** Drawing few domains again understates how much domains differ. */
const DOMAINS_MIN = 12;

function meaningOf({ low, high, pairs, domains }: Interval, detectable: number | null): string {
  if (domains < DOMAINS_MIN) return tooFew(domains);
  if (low > 0) return `It has the problem: it could do what it was told, and untold it does not.`;
  if (high < 0) return 'Telling it again makes it worse; look at the replies.';
  const power = `${pairs} pairs find a gap of ${percent(detectable ?? 1)} in four of five tries`;
  return `No gap was shown. ${power}: a smaller one may be there.`;
}

const tooFew = (domains: number): string =>
  `Too few scenes to tell anything: ${domains} domains of at least ${DOMAINS_MIN}.`;

function armSentence(result: Result, arm: string): string[] {
  const row = find(result, arm);
  const change = row?.likelihood?.change ?? row?.replies?.change;
  if (change == null) return [];
  const judge = row?.likelihood == null ? 'free replies' : 'likelihood';
  if (change.domains < DOMAINS_MIN) return [];
  const verdict = change.low > 0 ? 'helps' : change.high < 0 ? 'harms' : 'shows no difference';
  return [`${ARM_TEXT[arm] ?? arm} ${verdict} (${judge}, ${changeText(change)} against untold).`];
}

export const ARM_TEXT: Readonly<Record<string, string>> = {
  untold: 'Untold',
  told: 'The direction told again',
  placebo: 'Another sentence told again (placebo)',
  system: 'General advice as system prompt',
  rule: 'The last directive repeated by rule',
};

/** The report as lines for a terminal; ends with a line break. */
export function reportText(report: ListenReport): string {
  const { model, part, seed, pairsThere, pairsScored, pairsReplied } = report;
  return `${[
    `${model}: ${pairsScored} pairs scored, ${pairsReplied} pairs of replies, of ${pairsThere} (part ${part}, seed ${seed})`,
    `Likelihoods: ${report.likelihood}`,
    ...report.notices.map((notice) => `Note: ${notice}`),
    '',
    ...tableLines(report),
    '',
    'What this sample can tell:',
    ...lines([POWER_HEAD, ...powerRows(report)]),
    '',
    ...report.conclusions,
    ...report.failures.flatMap(failureLines),
  ].join('\n')}\n`;
}

function tableLines({ rows }: ListenReport): string[] {
  const head = [
    ...['scenes', 'arm', 'both right', 'margin', 'right', 'other', 'answered'],
    ...['extra tokens', 'ms'],
  ];
  const cells = rows.map(({ group, arm, likelihood, replies }) => [
    group,
    arm,
    likelihood === null ? '–' : intervalText(likelihood.bothRight),
    likelihood === null ? '–' : fixed(likelihood.margin.mean, 2),
    replies === null ? '–' : intervalText(replies.right),
    replies === null ? '–' : fixed(replies.wrong.mean, 2),
    replies === null ? '–' : fixed(replies.answered.mean, 2),
    replies === null ? '–' : fixed(replies.extraTokens, 0),
    replies === null ? '–' : fixed(replies.firstTokenMs, 0),
  ]);
  return lines([head, ...cells]);
}

export const POWER_HEAD = [
  ...['scenes', 'judge', 'pairs', 'change of told found in 4 of 5 tries'],
  'pairs for a change of 10 %',
];

/** What the sample can tell, a row for each kind of scene and judge. */
export function powerRows({ power }: ListenReport): string[][] {
  return power.map(({ group, measure, pairs, detectable, pairsForTenPoints }) => [
    group,
    measure,
    `${pairs}`,
    detectable === null ? 'none: one domain tells nothing' : percent(detectable),
    `${pairsForTenPoints ?? '–'}`,
  ]);
}

const lines = (rows: readonly (readonly string[])[]): string[] =>
  alignedRows(rows).map((row) => row.join('  ').trimEnd());

function failureLines({ messages, reply }: ListenReport['failures'][number]): string[] {
  const said = messages.map(({ role, content }) => `  ${role}: ${content}`);
  return ['', 'A reply that did not listen:', ...said, `  → ${reply}`];
}

// The report as one HTML page that needs nothing else: plots, tables, quoted failures.

/** @param style CSS, which the page holds */
export function reportPage(report: ListenReport, style: string): string {
  const { model, part, seed, minutes, date, pairsScored, pairsReplied, pairsThere } = report;
  const run =
    `${date}, part ${part}, seed ${seed}, ${minutes === null ? 'all pairs' : `${minutes} minutes`}: ` +
    `${pairsScored} pairs scored, ${pairsReplied} pairs of replies, of ${pairsThere}.`;
  const body = [
    `<h1>Does ${escaped(model)} listen?</h1>`,
    `<p class="soft">${escaped(run)} Likelihoods: ${escaped(report.likelihood)}.</p>`,
    ...report.notices.map((notice) => `<p class="soft">${escaped(notice)}</p>`),
    `<ul>${report.conclusions.map((one) => `<li>${escaped(one)}</li>`).join('')}</ul>`,
    '<h2>Directions, by how old they are</h2>',
    ...plotsOf(report, 'listen'),
    '<h2>Scenes that look alike and want something else</h2>',
    ...plotsOf(report, 'twins'),
    '<h2>All numbers</h2>',
    HOW_TO_READ,
    `<div class="wide">${numbersTable(report)}</div>`,
    '<h2>What this sample can tell</h2>',
    `<div class="wide">${table(POWER_HEAD, powerRows(report))}</div>`,
    '<h2>Replies that did not listen</h2>',
    ...(report.failures.length === 0 ? ['<p>None among the untold ones.</p>'] : []),
    ...report.failures.map(quoted),
  ];
  return (
    `<!doctype html>\n<html lang="en"><head><meta charset="utf-8">` +
    `<meta name="viewport" content="width=device-width, initial-scale=1">` +
    `<title>Does ${escaped(model)} listen?</title><style>${style}</style></head>\n` +
    `<body>\n${body.join('\n')}\n</body></html>\n`
  );
}

const HOW_TO_READ = `<p>A pair is two conversations with the two things exchanged.
<b>Both right</b>: in each of them three beginnings of a reply about the thing that was decided are
likelier than those about the other one; who ignores the conversation gets 0, a coin a quarter.
<b>Margin</b>: nats a token. <b>Right</b>: replies that do what was decided, by fixed rules; naming
it without an answer does not count. <b>Other</b>: replies that go on with the other thing.
Brackets: 95 %, domains drawn whole. Change: against untold on the same pairs.</p>`;

function plotsOf(report: ListenReport, which: 'listen' | 'twins'): string[] {
  const cells =
    which === 'listen' ? DISTANCES.map((distance) => cellOf({ kind: 'listen', distance })) : TWINS;
  const axes = {
    xLabels: which === 'listen' ? DISTANCES.map(String) : [...TWINS],
    xTitle:
      which === 'listen' ? 'exchanges between the direction and the question' : 'kind of scene',
    isLine: which === 'listen',
  };
  const seriesOf = (pick: (row: ArmResult) => Interval | undefined): PlotSeries[] =>
    ARMS.map((arm) => ({
      name: arm,
      points: cells.map((cell) => {
        const row = report.rows.find((one) => one.group === cell && one.arm === arm);
        return (row === undefined ? undefined : pick(row)) ?? null;
      }),
    }));
  const scored = seriesOf(({ likelihood }) => likelihood?.bothRight);
  const replied = seriesOf(({ replies }) => replies?.right);
  const isThere = (series: readonly PlotSeries[]): boolean =>
    series.some(({ points }) => points.some((point) => point !== null));
  return [
    ...(isThere(scored)
      ? [
          sharePlot(scored, {
            ...axes,
            title: 'Likelihood: both contexts right',
            yTitle: 'share of pairs',
            reference: { value: 0.25, text: 'a coin' },
          }),
        ]
      : []),
    ...(isThere(replied)
      ? [sharePlot(replied, { ...axes, title: 'Free replies: right', yTitle: 'share of replies' })]
      : []),
  ];
}

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string => {
  const line = (cells: readonly string[], tag: 'th' | 'td'): string =>
    `<tr>${cells.map((cell) => `<${tag}>${escaped(cell)}</${tag}>`).join('')}</tr>`;
  return `<table>${line(head, 'th')}${rows.map((row) => line(row, 'td')).join('')}</table>`;
};

function numbersTable({ rows }: ListenReport): string {
  const head = [
    ...['scenes', 'arm', 'pairs', 'both right', 'change', 'margin', 'pairs', 'right', 'change'],
    ...['other', 'answered', 'copied', 'words', 'extra tokens', 'first token, ms'],
  ];
  const cells = rows.map(({ group, arm, likelihood: l, replies: r }) => [
    group,
    ARM_TEXT[arm] ?? arm,
    ...(l === null
      ? Array.from({ length: 4 }, () => '–')
      : [
          `${l.bothRight.pairs}`,
          intervalText(l.bothRight),
          l.change === null ? '' : changeText(l.change),
          intervalText(l.margin),
        ]),
    ...(r === null
      ? Array.from({ length: 9 }, () => '–')
      : [
          `${r.right.pairs}`,
          intervalText(r.right),
          r.change === null ? '' : changeText(r.change),
          intervalText(r.wrong),
          intervalText(r.answered),
          percent(r.copied),
          fixed(r.words, 0),
          fixed(r.extraTokens, 0),
          fixed(r.firstTokenMs, 0),
        ]),
  ]);
  return table(head, cells);
}

function quoted({ messages, reply, decided }: ListenReport['failures'][number]): string {
  const said = messages.map(
    ({ role, content }) =>
      `<p><b>${role === 'user' ? 'person' : 'model'}:</b> ${
        content === decided ? `<u>${escaped(content)}</u>` : escaped(content)
      }</p>`,
  );
  return `<blockquote>${said.join('')}<p class="reply"><b>reply:</b> ${escaped(reply)}</p></blockquote>`;
}
