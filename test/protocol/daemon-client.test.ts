import { beforeEach, describe, expect, it } from 'vitest';
import { parseServerMessage } from '../../src/protocol/codec.ts';
import {
  type ClientState,
  DaemonClient,
  type DaemonClientOptions,
  type SocketEvents,
} from '../../src/protocol/daemon-client.ts';
import { CLOSE_CODE, PROTOCOL_VERSION } from '../../src/protocol/handshake.ts';
import type { ServerMessage } from '../../src/protocol/server-message.ts';
import { createFakeClock, type FakeClock } from '../fakes/fake-clock.ts';

const HEARTBEAT_MS = 10_000;

/** A socket as the client opened it, and what the daemon's side does with it. */
interface Line {
  readonly events: SocketEvents;
  readonly sent: Record<string, unknown>[];
  isClosed: boolean;
}

let clock: FakeClock;
let lines: Line[];
let states: ClientState[];
let heard: ServerMessage[];

beforeEach(() => {
  clock = createFakeClock();
  lines = [];
  states = [];
  heard = [];
});

function open(options: Partial<DaemonClientOptions> = {}): DaemonClient {
  return new DaemonClient({
    client: 'test',
    openSocket(events) {
      const line: Line = { events, sent: [], isClosed: false };
      lines.push(line);
      return {
        send: (text) => void line.sent.push(JSON.parse(text)),
        close: () => {
          line.isClosed = true;
        },
      };
    },
    clock,
    parse: parseServerMessage,
    onMessage: (message) => void heard.push(message),
    onState: (state) => void states.push(state),
    keepsRequests: true,
    ...options,
  });
}

const line = (): Line => lines.at(-1) as Line;
const tell = (message: object): void => line().events.onText(JSON.stringify(message));

function greet(): void {
  line().events.onOpen();
  tell({
    type: 'server-hello',
    protocol: PROTOCOL_VERSION,
    server: 'attune',
    engine: {
      status: 'ready',
      modelId: 'm',
      device: 'cpu',
      windowTokens: 1,
      parameters: 1,
      base: null,
      notices: [],
      suggestion: null,
      version: 'v',
    },
    limits: {
      payloadBytesMax: 1,
      messageCharactersMax: 1,
      messagesPerMinuteMax: 1,
      heartbeatIntervalMs: HEARTBEAT_MS,
    },
  });
}

const refusal = (code: string) => ({
  type: 'error',
  code,
  message: 'no',
  facts: {},
  retryAfterMs: null,
});

const LIST = { type: 'conversation-list' } as const;
const listed = (requestId: unknown) => ({
  type: 'conversation-listed',
  requestId,
  conversations: [],
  nextCursor: null,
});

describe('a connection', () => {
  it('begins with a hello that carries protocol, name and token', async () => {
    const client = open({ token: () => 'secret' });
    const connected = client.connect();
    expect(client.send({ type: 'heartbeat-ping' })).toBe(false);
    greet();
    expect(line().sent).toEqual([
      { type: 'client-hello', protocol: PROTOCOL_VERSION, client: 'test', token: 'secret' },
    ]);
    expect((await connected).limits.heartbeatIntervalMs).toBe(HEARTBEAT_MS);
    expect(states.map(({ kind }) => kind)).toEqual(['connecting', 'open']);
  });

  it('is open once its topics are subscribed, after each loss again', () => {
    const client = open({ topics: ['nights'] });
    void client.connect();
    for (let round = 0; round < 2; round++) {
      greet();
      expect(client.isOpen).toBe(false);
      expect(line().sent.at(-1)).toEqual({ type: 'event-subscribe', topics: ['nights'] });
      tell({ type: 'event-subscribed', topics: ['nights'] });
      expect(client.isOpen).toBe(true);
      void client.connect();
    }
  });

  it('comes back after a loss, later and later, and at once after it was open', async () => {
    const client = open();
    await Promise.all([client.connect(), greet()]);
    const waits: number[] = [];
    for (let loss = 0; loss < 7; loss++) {
      line().events.onClose(1006);
      const [before, begun] = [lines.length, clock.monotonicMs()];
      while (lines.length === before) await clock.advance(50);
      waits.push(clock.monotonicMs() - begun);
    }
    expect(waits).toEqual([250, 500, 1000, 2000, 4000, 8000, 8000]);
    const lost = states.filter(({ kind }) => kind === 'waiting');
    expect(lost.map((state) => 'wasOpen' in state && state.wasOpen)).toEqual([
      true,
      ...Array(6).fill(false),
    ]);
    greet();
    expect(states.at(-1)).toEqual({ kind: 'open', isBack: true });
    line().events.onClose(1006);
    await clock.advance(250);
    expect(lines).toHaveLength(9);
  });

  it('is tried once more when the daemon says nothing, and when it falls silent', async () => {
    const client = open();
    const first = client.connect();
    const failed = expect(first).rejects.toMatchObject({ code: 'daemon-unreachable' });
    line().events.onOpen();
    await clock.advance(5_250);
    await failed;
    expect(lines).toHaveLength(2);
    expect(lines[0]?.isClosed).toBe(true);
    greet();
    await clock.advance(2 * HEARTBEAT_MS);
    expect(line().sent.slice(1)).toEqual([{ type: 'heartbeat-ping' }, { type: 'heartbeat-ping' }]);
    line().events.onPing();
    await clock.advance(2 * HEARTBEAT_MS);
    expect(client.isOpen).toBe(true);
    await clock.advance(HEARTBEAT_MS);
    expect(client.isOpen).toBe(false);
  });

  it.each(['token-required', 'protocol-mismatch', 'origin-refused'] as const)(
    'is not tried again after %s',
    async (reason) => {
      const client = open();
      const connected = client.connect();
      const failed = expect(connected).rejects.toMatchObject({ code: reason });
      line().events.onOpen();
      tell(refusal(reason));
      line().events.onClose(CLOSE_CODE[reason]);
      await failed;
      await clock.advance(60_000);
      expect(lines).toHaveLength(1);
      expect(states.at(-1)).toMatchObject({ kind: 'refused', error: { code: reason } });
    },
  );

  it('tells nothing of a socket that another one replaced', () => {
    const client = open();
    client.connect().catch(() => undefined);
    const [old] = lines;
    void client.connect();
    old?.events.onClose(1006);
    expect(old?.isClosed).toBe(true);
    expect(states.map(({ kind }) => kind)).toEqual(['connecting', 'connecting']);
  });

  it('finds out within seconds after a sleep whether it is lost', async () => {
    const client = open();
    await Promise.all([client.connect(), greet()]);
    client.wake();
    expect(line().sent.at(-1)).toEqual({ type: 'heartbeat-ping' });
    tell({ type: 'heartbeat-pong', at: 1 });
    await clock.advance(4_000);
    expect([client.isOpen, lines.length]).toEqual([true, 1]);
    client.wake();
    await clock.advance(3_500);
    expect(lines).toHaveLength(2);
    greet();
    expect(client.isOpen).toBe(true);
  });

  it('is tried at once after a sleep where it was lost, and never where it was refused', async () => {
    const client = open();
    client.wake();
    expect(lines).toHaveLength(0);
    await Promise.all([client.connect(), greet()]);
    line().events.onClose(1006);
    client.wake();
    expect(lines).toHaveLength(2);
    line().events.onClose(CLOSE_CODE['protocol-mismatch']);
    client.wake();
    expect(lines).toHaveLength(2);
  });

  it('ends for good when it is closed', async () => {
    const client = open();
    await Promise.all([client.connect(), greet()]);
    const asked = expect(client.request(LIST, 'conversation-listed')).rejects.toMatchObject({
      code: 'aborted',
    });
    client.close();
    await asked;
    await clock.advance(60_000);
    expect(lines).toHaveLength(1);
    expect(clock.pendingTimers).toBe(0);
  });
});

describe('a request', () => {
  it('is answered by the message with its id, or by the error', async () => {
    const client = open();
    await Promise.all([client.connect(), greet()]);
    const [first, second] = [1, 2].map(() => client.request(LIST, 'conversation-listed'));
    const [, one, two] = line().sent;
    expect(one?.requestId).not.toBe(two?.requestId);
    tell({ ...refusal('rate-limit'), requestId: two?.requestId, facts: { retryAfterMs: 5 } });
    tell(listed(one?.requestId));
    expect((await first)?.conversations).toEqual([]);
    await expect(second).rejects.toMatchObject({ code: 'rate-limit', facts: { retryAfterMs: 5 } });
    expect(heard.map(({ type }) => type)).toEqual(['server-hello', 'error', 'conversation-listed']);
  });

  it('outlives a loss where requests are kept: it is sent again with its id', async () => {
    const client = open();
    await Promise.all([client.connect(), greet()]);
    const answer = client.request(LIST, 'conversation-listed');
    const sent = line().sent.at(-1);
    line().events.onClose(1006);
    const later = client.request({ type: 'flag-list' }, 'flag-listed');
    await clock.advance(250);
    greet();
    expect(line().sent.slice(1)).toEqual([sent, expect.objectContaining({ type: 'flag-list' })]);
    tell(listed(sent?.requestId));
    await answer;
    tell({ type: 'flag-listed', requestId: line().sent.at(-1)?.requestId, flags: [] });
    expect((await later).flags).toEqual([]);
  });

  it('fails with a loss, and without a connection, where requests are not kept', async () => {
    const client = open({ keepsRequests: false });
    const lost = { code: 'daemon-unreachable' };
    await expect(client.request(LIST, 'conversation-listed')).rejects.toMatchObject(lost);
    await Promise.all([client.connect(), greet()]);
    const asked = expect(client.request(LIST, 'conversation-listed')).rejects.toMatchObject(lost);
    line().events.onClose(1006);
    await asked;
    await clock.advance(250);
    greet();
    expect(line().sent).toHaveLength(1);
  });
});
