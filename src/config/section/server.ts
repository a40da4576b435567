// Config section of the HTTP and WebSocket server: where it listens, and a bound on everything.
import { z } from 'zod';

const limits = z.strictObject({
  connectionsMax: z.int().min(1).default(256),
  /** One WebSocket frame or HTTP body. */
  payloadBytesMax: z.int().min(1024).default(1_048_576),
  /** What one person says at once. */
  messageCharactersMax: z.int().min(1).default(100_000),
  /** Client messages a connection may send in a minute. */
  messagesPerMinuteMax: z.int().min(1).default(240),
  /** Waiting to be sent to one slow reader before deltas are merged … */
  sendQueueBytesMax: z.int().min(4096).default(1_048_576),
  /** … and before the connection is closed. */
  sendQueueBytesClose: z.int().min(4096).default(8_388_608),
  /** Replies that run or wait at once, over all talks. */
  repliesMax: z.int().min(1).default(64),
  httpRequestsMax: z.int().min(1).default(128),
  searchResultsMax: z.int().min(1).default(100),
  conversationPageMax: z.int().min(1).default(100),
  /** Messages, and characters of them, in one page of a talk's history. */
  historyPageMax: z.int().min(1).default(500),
  historyPageCharactersMax: z.int().min(1).default(500_000),
  /** One talk that is imported over HTTP. */
  importBytesMax: z.int().min(1024).default(67_108_864),
  /** Talks that one connection follows at once. */
  openTalksMax: z.int().min(1).default(64),
  /** HTTP requests in a minute, over all clients. */
  requestsPerMinuteMax: z.int().min(1).default(1_200),
  conversationsMax: z.int().min(1).default(100_000),
  conversationMessagesMax: z.int().min(1).default(10_000),
  /** Log files that are held open. */
  openLogsMax: z.int().min(1).default(256),
  flagsMax: z.int().min(1).default(20_000),
});

export const serverSection = z.strictObject({
  /** Anything but a loopback address needs a token. */
  host: z.string().min(1).default('127.0.0.1'),
  /** 0 takes a free one. */
  port: z.int().min(0).max(65_535).default(4747),
  /** Empty: no token is asked for. */
  token: z.string().default(''),
  /** Origins besides our own pages from which a browser may connect. */
  allowedOrigins: z.array(z.string()).default([]),
  /** Host names besides loopback ones under which the daemon may be addressed. */
  allowedHosts: z.array(z.string()).default([]),
  heartbeatIntervalMs: z.int().min(1000).default(30_000),
  heartbeatTimeoutMs: z.int().min(1000).default(60_000),
  /** How long a client may take for its hello. */
  helloTimeoutMs: z.int().min(100).default(10_000),
  /** How long replies may go on after SIGTERM. */
  shutdownTimeoutMs: z.int().min(0).default(5_000),
  limits: limits.prefault({}),
});
