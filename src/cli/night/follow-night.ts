// Starts a night and follows it to its end: one line per phase, a counter on a terminal.
import { z } from 'zod';
import { AttuneError, isAttuneError } from '../../base/errors.ts';
import type { NightProgress } from '../../protocol/night.ts';
import { fixed } from '../../protocol/number-text.ts';
import { progressText } from '../../protocol/progress-text.ts';
import { NightList } from '../../protocol/summary.ts';
import { type Address, HttpClient } from '../daemon.ts';
import { connectFirst, createDaemonClient } from '../daemon-connection.ts';

const startedSchema = z.object({ nightId: z.string() });

/**
 * Starts or resumes a night without waiting for its end.
 * @returns the id of the night
 */
export async function startNight(address: Address, again?: Again): Promise<string> {
  const { id, ...body } = again ?? {};
  const what = id === undefined ? 'run' : `${encodeURIComponent(id)}/retrain`;
  const client = new HttpClient(address);
  const { nightId } = await client.post(`/api/nights/${what}`, body, startedSchema);
  return nightId;
}

/** A night to train again: with the dreams that a person changed, or as a job has trained it. */
interface Again {
  readonly id: string;
  readonly job?: string;
}

/** Of the night that runs already. */
async function joinNight(address: Address, error: unknown): Promise<string> {
  if (!isAttuneError(error, 'night-running')) throw error;
  const { running } = await new HttpClient(address).get('/api/nights', NightList);
  if (running === null) throw error;
  return running.nightId;
}

/**
 * Starts a night, or joins the one that runs, and resolves with its id once its summary is ready.
 * @throws night-failed, aborted where it was stopped
 */
export async function followNight(address: Address, again?: Again): Promise<string> {
  const counter = createCounter();
  let settle: (error?: Error) => void = () => undefined;
  const ended = new Promise<void>((resolve, reject) => {
    settle = (error) => (error === undefined ? resolve() : reject(error));
  });
  const client = createDaemonClient({
    ...address,
    client: 'attune-night',
    topics: ['nights'],
    onMessage(message) {
      if (message.type === 'night-progress') counter.show(message);
      if (message.type === 'summary-ready') settle();
      if (message.type !== 'night-end') return;
      const why = message.reasons.join('; ');
      if (message.verdict === 'failed') settle(new AttuneError('night-failed', why));
      if (message.verdict === 'stopped') {
        settle(new AttuneError('aborted', `${why} To go on with it: attune night run`));
      }
    },
  });
  await connectFirst(client);
  try {
    const nightId = await startNight(address, again).catch((error: unknown) => {
      if (again !== undefined) throw error;
      return joinNight(address, error);
    });
    await ended;
    return nightId;
  } finally {
    counter.finish();
    client.close();
  }
}

function createCounter() {
  const isTerminal = process.stderr.isTTY;
  let phase = '';
  return {
    show(progress: NightProgress): void {
      const { phase: now, facts } = progress;
      const loss = facts.loss === undefined ? '' : ` · loss ${fixed(facts.loss)}`;
      const line = progressText(progress) + loss;
      if (isTerminal) process.stderr.write(`\r\u001b[K${line}`);
      else if (now !== phase) process.stderr.write(`${now}\n`);
      phase = now;
    },
    finish(): void {
      if (isTerminal) process.stderr.write('\r\u001b[K');
    },
  };
}
