// Config section of the HTTP and WebSocket server: where it listens, and a bound on everything.
import { z } from 'zod';

const limits = z
  .strictObject({
    connectionsMax: z.int().min(1).default(256).describe('WebSocket connections at once.'),
    payloadBytesMax: z
      .int()
      .min(1024)
      .default(1_048_576)
      .describe('Bytes of one WebSocket frame or HTTP body.'),
    messageCharactersMax: z
      .int()
      .min(1)
      .default(100_000)
      .describe('Characters of one message of a person.'),
    messagesPerMinuteMax: z
      .int()
      .min(1)
      .default(240)
      .describe('Client messages in a minute from one connection.'),
    sendQueueBytesMax: z
      .int()
      .min(4096)
      .default(1_048_576)
      .describe('Bytes waiting for one slow reader beyond which pieces of a reply are merged.'),
    sendQueueBytesClose: z
      .int()
      .min(4096)
      .default(8_388_608)
      .describe('Bytes waiting for one slow reader beyond which the connection is closed.'),
    repliesMax: z
      .int()
      .min(1)
      .default(64)
      .describe('Replies that run or wait at once, over all conversations.'),
    httpRequestsMax: z.int().min(1).default(128).describe('HTTP requests in progress at once.'),
    searchResultsMax: z.int().min(1).default(100).describe('Results of one search.'),
    conversationPageMax: z
      .int()
      .min(1)
      .default(100)
      .describe('Conversations in one page of the list.'),
    historyPageMax: z
      .int()
      .min(1)
      .default(500)
      .describe("Messages in one page of a conversation's history."),
    historyPageCharactersMax: z
      .int()
      .min(1)
      .default(500_000)
      .describe('Characters of the messages in one page of history.'),
    importBytesMax: z
      .int()
      .min(1024)
      .default(67_108_864)
      .describe('Bytes of one conversation that is imported over HTTP.'),
    openTalksMax: z
      .int()
      .min(1)
      .default(64)
      .describe('Conversations that one connection follows at once.'),
    requestsPerMinuteMax: z
      .int()
      .min(1)
      .default(1_200)
      .describe('HTTP requests in a minute, over all clients.'),
    conversationsMax: z
      .int()
      .min(1)
      .default(100_000)
      .describe('Conversations that the store holds.'),
    conversationMessagesMax: z
      .int()
      .min(1)
      .default(10_000)
      .describe('Messages and replies of one conversation.'),
    openLogsMax: z.int().min(1).default(256).describe('Log files that are open at once.'),
    flagsMax: z.int().min(1).default(20_000).describe('Flags that the store holds.'),
  })
  .describe('Bounds on what clients may ask for.');

export const serverSection = z
  .strictObject({
    host: z
      .string()
      .min(1)
      .default('127.0.0.1')
      .describe('Address to listen on; any but a loopback address needs a token.'),
    port: z.int().min(0).max(65_535).default(4747).describe('Port; 0 takes a free one.'),
    token: z
      .string()
      .default('')
      .describe(
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
    heartbeatIntervalMs: z
      .int()
      .min(1000)
      .default(30_000)
      .describe('Milliseconds between two pings to a WebSocket client.'),
    heartbeatTimeoutMs: z
      .int()
      .min(1000)
      .default(60_000)
      .describe('Milliseconds of silence after which a client is dropped.'),
    helloTimeoutMs: z
      .int()
      .min(100)
      .default(10_000)
      .describe('Milliseconds that a client may take for its hello.'),
    shutdownTimeoutMs: z
      .int()
      .min(0)
      .default(5_000)
      .describe('Milliseconds that running replies may go on after SIGTERM.'),
    limits: limits.prefault({}),
  })
  .describe('The HTTP and WebSocket server.');
