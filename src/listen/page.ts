// The report as one HTML page that needs nothing else: plots, tables, quoted failures.
import { fixed, percent } from '../protocol/number-text.ts';
import { ARMS } from './arm.ts';
import { escaped, type PlotSeries, sharePlot } from './plot.ts';
import {
  ARM_TEXT,
  changeText,
  intervalText,
  type ListenReport,
  POWER_HEAD,
  powerRows,
} from './report.ts';
import type { ArmResult, Interval } from './result.ts';
import { cellOf, DISTANCES, TWINS } from './scene.ts';

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
