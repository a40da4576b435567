// What both sides of a connection agree on: the protocol's number and the codes of its closing.
/**
 * Both sides compare it in their hello. Raised when a client of before would not understand a
 * message. 2: a flag names the nights that used it with their base model.
 */
export const PROTOCOL_VERSION = 2;

/**
 * WebSocket close codes of this protocol (4000–4999 are an application's own). Each is sent after
 * an `error` with the code beside it.
 */
export const CLOSE_CODE = {
  'protocol-mismatch': 4000,
  'token-required': 4001,
  'origin-refused': 4003,
  'hello-expected': 4004,
  'connections-limit': 4005,
  'heartbeat-missed': 4006,
  'reader-too-slow': 4007,
  'rate-limit': 4008,
  'payload-too-large': 1009,
  'shutting-down': 1001,
} as const;
export type CloseReason = keyof typeof CLOSE_CODE;

/** After one of these, trying again does not help. */
export const FINAL_REASONS = [
  'protocol-mismatch',
  'token-required',
  'origin-refused',
] as const satisfies readonly CloseReason[];
