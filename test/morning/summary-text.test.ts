// The words of a summary about replies and listening.
import { describe, expect, it } from 'vitest';
import { summaryMarkdown } from '../../src/morning/summary-markdown.ts';
import { listeningText, pointsText, repliesLine } from '../../src/protocol/listening-text.ts';
import { NightSummary, type RepliesView } from '../../src/protocol/summary.ts';
import { listening, night, today } from '../web/night-example.ts';

const { status: _, ...summary } = night('waiting');
const replies = summary.replies as RepliesView;

describe('replies that pass their check', () => {
  it('are one line: before, after, how many, and how sure', () => {
    expect(repliesLine(replies)).toBe(
      'replies that pass their check: 42 % → 50 % (n 24, placebo 42 %); ' +
        '+8 points, 95 % −4 to +20',
    );
    expect(repliesLine({ ...replies, deaf: null })).toContain('50 % (n 24);');
  });

  it('say when too few sources spoke for an interval', () => {
    const known = { mean: -0.5, p: 1, clusters: 1 };
    const text = pointsText({ ...known, low: null, high: null });
    expect(text).toBe('−50 points, too few sources for more');
    expect(pointsText({ ...known, mean: null, low: null, high: null })).toBe('not known');
    expect(pointsText({ ...known, mean: 0.001, low: -0.001, high: 0.2 })).toContain('0 points');
  });

  it('stand in the Markdown by kind, with samples and the word that they judge nothing', () => {
    const text = summaryMarkdown(summary);
    expect(text).toContain('Replies that pass their check: 42 % → 50 % (n 24');
    expect(text).toContain('They judge nothing: the gate reads margins.');
    expect(text).toMatch(
      /^\| push-back +\| 12 +\| 59 % → 50 % +\| −9 points, 95 % −21 to \+3 \|$/m,
    );
    expect(text).toContain('- listen: “Put 72 bunks on the sheet.”');
    expect(text).toContain('  - before: Let us take 26. (does not pass: lacks "72")');
    expect(text).toContain('  - after: The sheet says 72. (passes: the direction comes first)');
  });

  it('never become Markdown themselves', () => {
    const sample = {
      ...replies.samples[0],
      said: '# [x](http://a) `b`',
    } as (typeof replies.samples)[0];
    const text = summaryMarkdown({ ...summary, replies: { ...replies, samples: [sample] } });
    expect(text).toContain('“# \\[x\\](http://a) \\`b\\`”');
  });

  it('are not mentioned where none was written, nor in summaries of before', () => {
    const { replies: _replies, ...older } = summary;
    const read = NightSummary.parse(older);
    expect(read.replies).toBeNull();
    expect(summaryMarkdown(read)).not.toContain('their check');
  });
});

describe('how a night listens', () => {
  const { status: _status, ...now } = today('waiting');

  it('is one line: the change, the pairs, and how much of the gap it closes', () => {
    expect(listeningText(listening())).toBe(
      'right on both sides: +15 points, 95 % +9 to +21; 13 pairs won, 1 lost; ' +
        '31 % of the gap to told (+49 points, 95 % +39 to +59) is closed',
    );
    expect(listeningText({ ...listening(), gapClosed: null })).toContain(
      'the gap to told is too small to measure',
    );
    expect(listeningText({ ...listening(), gapClosed: -0.1 })).toContain('0 % of the gap');
  });

  it('is one table by distance, in columns', () => {
    const text = summaryMarkdown(now);
    const row = (...cells: string[]): RegExp =>
      new RegExp(`^\\| ${cells.join(' +\\| ')} \\|$`, 'm');
    const head = ['before', 'restated by rule', 'after', 'told', 'placebo', 'pairs'];
    expect(text).toMatch(row('between direction and question', ...head));
    expect(text).toMatch(row('none', '20 %', '52 %', '34 %', '60 %', '16 %', '40'));
    expect(text).toMatch(row('all', '10 %', '26 %', '25 %', '59 %', '8 %', '80'));
  });

  it('stands beside the replies that must not become worse', () => {
    const line =
      'Of 144 replies that must not become worse, 101 are the same to the token, 3 better, ' +
      '2 worse; at most 3.1 % worse (upper bound)';
    expect(summaryMarkdown(now)).toContain(line);
    expect(summaryMarkdown(now)).toContain('the gate judges them together');
  });

  it('is not mentioned in summaries of before', () => {
    expect(summaryMarkdown(summary)).not.toContain('Does it listen?');
  });
});
