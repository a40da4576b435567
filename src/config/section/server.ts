// Config section of the HTTP and WebSocket server: where it listens, and a bound on everything.
import { z } from 'zod';
import { count, countFrom, section, text } from './value.ts';

const limits = section('Bounds on what clients may ask for.', {
  connectionsMax: count(256).describe('WebSocket connections at once.'),
  payloadBytesMax: countFrom(1024, 1_048_576).describe(
    'Bytes of one WebSocket frame or HTTP body.',
  ),
  messageCharactersMax: count(100_000).describe('Characters of one message of a person.'),
  messagesPerMinuteMax: count(240).describe('Client messages in a minute from one connection.'),
  sendQueueBytesMax: countFrom(4096, 1_048_576).describe(
    'Bytes waiting for one slow reader beyond which pieces of a reply are merged.',
  ),
  sendQueueBytesClose: countFrom(4096, 8_388_608).describe(
    'Bytes waiting for one slow reader beyond which the connection is closed.',
  ),
  repliesMax: count(64).describe('Replies that run or wait at once, over all conversations.'),
  httpRequestsMax: count(128).describe('HTTP requests in progress at once.'),
  searchResultsMax: count(100).describe('Results of one search.'),
  conversationPageMax: count(100).describe('Conversations in one page of the list.'),
  historyPageMax: count(500).describe("Messages in one page of a conversation's history."),
  historyPageCharactersMax: count(500_000).describe(
    'Characters of the messages in one page of history.',
  ),
  importBytesMax: countFrom(1024, 67_108_864).describe(
    'Bytes of one conversation that is imported over HTTP.',
  ),
  openConversationsMax: count(64).describe('Conversations that one connection follows at once.'),
  requestsPerMinuteMax: count(1_200).describe('HTTP requests in a minute, over all clients.'),
  conversationsMax: count(100_000).describe('Conversations that the store holds.'),
  conversationMessagesMax: count(10_000).describe('Messages and replies of one conversation.'),
  openLogsMax: count(256).describe('Log files that are open at once.'),
  flagsMax: count(20_000).describe('Flags that the store holds.'),
});

export const serverSection = section('The HTTP and WebSocket server.', {
  host: z
    .string()
    .min(1)
    .default('127.0.0.1')
    .describe('Address to listen on; any but a loopback address needs a token of 16 characters.'),
  port: countFrom(0, 4747, { max: 65_535 }).describe('Port; 0 takes a free one.'),
  token: text('').describe(
    'What clients must present (`Authorization: Bearer …`); better kept in ATTUNE_TOKEN. ' +
      'Empty is none.',
  ),
  allowedOrigins: z
    .array(z.string())
    .default([])
    .describe('Origins besides our own pages from which a browser may connect.'),
  allowedHosts: z
    .array(z.string())
    .default([])
    .describe('Host names besides loopback ones under which the daemon may be addressed.'),
  heartbeatIntervalMs: countFrom(1000, 30_000).describe(
    'Milliseconds between two pings to a WebSocket client.',
  ),
  heartbeatTimeoutMs: countFrom(1000, 60_000).describe(
    'Milliseconds of silence after which a client is dropped.',
  ),
  helloTimeoutMs: countFrom(100, 10_000).describe(
    'Milliseconds that a client may take for its hello.',
  ),
  shutdownTimeoutMs: countFrom(0, 5_000).describe(
    'Milliseconds that running replies may go on after SIGTERM.',
  ),
  limits: limits.prefault({}),
});
