// What the rows of every client share: what is asked, how a row ends, and the table of them.
import { setTimeout as delay } from 'node:timers/promises';

export const ASKED = [{ role: 'user', content: 'Soup or salad for dinner?' }];
export const CALLED = [
  ...ASKED,
  {
    role: 'assistant',
    content: null,
    tool_calls: [
      { id: 'c1', type: 'function', function: { name: 'weather', arguments: '{"city":"Rome"}' } },
    ],
  },
  { role: 'tool', tool_call_id: 'c1', content: 'sunny' },
];
/** What the model that calls tools calls, see calling-model.mjs. */
export const WEATHER = {
  name: 'weather',
  description: 'The weather of a city.',
  parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
};
export const TOOL = { type: 'function', function: WEATHER };
export const PICTURE = `data:image/png;base64,${'A'.repeat(64)}`;

const ROW_MS = 180_000;

/** @throws when it is not so, with what was found */
export function check(isTrue, found) {
  if (!isTrue) throw new Error(`not as expected: ${JSON.stringify(found)}`);
  return found;
}

export function words(text) {
  return check(typeof text === 'string' && text.trim() !== '', text);
}

/** All parts of a stream. */
export async function all(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return parts;
}

/** A row that is right when the daemon refuses it by this name. */
export function refused(param, ask) {
  return { param, ask };
}

/** The client's error and what it wraps, as one text. */
function said(error) {
  const found = [];
  for (let one = error; one && found.length < 4; one = one.cause ?? one.lastError) {
    const { message = String(one), param, responseBody, response } = one;
    found.push(message, param ?? '', responseBody ?? '', response?.data ?? '');
  }
  return found.map((one) => (typeof one === 'string' ? one : JSON.stringify(one))).join(' ');
}

function isNamed(text, name) {
  return text.includes(name) && /\b(upstream|not known|not served|is not)/.test(text);
}

async function outcome(row) {
  const { ask, param } = typeof row === 'function' ? { ask: row } : row;
  const late = new AbortController();
  try {
    const limit = delay(ROW_MS, undefined, { signal: late.signal, ref: false }).then(() => {
      throw new Error(`no answer within ${ROW_MS / 1000} s`);
    });
    const found = await Promise.race([ask(), limit]);
    if (param === undefined) return { result: 'ok', detail: JSON.stringify(found) ?? '' };
    return { result: 'failed', detail: `not refused: ${JSON.stringify(found)}` };
  } catch (error) {
    const text = said(error);
    if (param !== undefined && isNamed(text, param)) {
      return { result: 'refused by name', detail: param };
    }
    return { result: 'failed', detail: text };
  } finally {
    late.abort();
  }
}

/** Runs the rows of one client, one after the other. */
export async function outcomes(client, rows) {
  const found = [];
  for (const [row, ask] of Object.entries(rows)) {
    found.push({ client, row, ...(await outcome(ask)) });
  }
  return found;
}

const cell = (text) => text.replace(/\s+/g, ' ').replaceAll('|', '\\|').trim();

/** A line as it goes into a table of Markdown. */
export function line({ client, row, result, detail }) {
  const shown = result === 'failed' ? cell(detail).slice(0, 400) : cell(detail).slice(0, 60);
  return `| ${cell(client)} | ${cell(row)} | ${result} | ${shown} |`;
}
