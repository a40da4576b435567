// A loopback server that speaks the part of the hub's API that a pull uses, with faults on demand.
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll } from 'vitest';

export interface HubFaults {
  /** Ends the connection after so many bytes of a file, the first `times` times. */
  readonly cutAfter?: { readonly bytes: number; times: number };
  /** Answers so many requests for files with this status first. */
  readonly refuse?: { readonly status: number; times: number };
  /** Answers so many requests for commits and lists with this status first. */
  readonly refuseList?: { readonly status: number; times: number; readonly retryAfter?: string };
  /** Serves whole files only. */
  readonly hasNoRanges?: boolean;
  /** Sends other bytes than it lists. */
  readonly corrupt?: (path: string, content: Buffer) => Buffer;
  /** Changes the list of files. */
  readonly list?: (entries: Record<string, unknown>[]) => unknown;
  /** Says other things about a range. */
  readonly contentRange?: (honest: string) => string;
  /** Sends so many bytes more than were asked for. */
  readonly excess?: number;
  /** Sends headers of a file and then nothing. */
  readonly hangs?: boolean;
  /** Sends files from another origin. */
  readonly redirectTo?: string;
  readonly pageSize?: number;
  readonly commit?: string;
}

export interface HubServer {
  readonly endpoint: string;
  readonly requests: {
    url: string;
    range: string | undefined;
    authorization: string | undefined;
  }[];
  faults: HubFaults;
}

export const COMMIT = 'a'.repeat(40);

const servers: { close(): void; closeAllConnections(): void }[] = [];
afterAll(() => {
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
  }
});

/** Files of 100 bytes and more are listed as LFS files, as the hub does with large ones. */
export async function startHub(files: Readonly<Record<string, Buffer>>): Promise<HubServer> {
  const requests: HubServer['requests'] = [];
  const server = createServer((request, response) => {
    const url = request.url as string;
    const { range, authorization } = request.headers;
    requests.push({ url, range, authorization });
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  servers.push(server);
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const hub: HubServer = { endpoint, requests, faults: {} };
  return hub;

  function answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url as string, endpoint);
    const { faults } = hub;
    const [, tree] = /^\/api\/models\/o\/m\/tree\/(.+)$/.exec(url.pathname) ?? [];
    const [, file] = /^\/o\/m\/resolve\/[^/]+\/(.+)$/.exec(url.pathname) ?? [];
    const { refuseList } = faults;
    if (url.pathname.startsWith('/api/') && refuseList !== undefined && refuseList.times-- > 0) {
      const { status, retryAfter } = refuseList;
      response.writeHead(status, retryAfter === undefined ? {} : { 'Retry-After': retryAfter });
      response.end();
    } else if (url.pathname.startsWith('/api/models/o/m/revision/')) {
      response.end(JSON.stringify({ sha: faults.commit ?? COMMIT }));
    } else if (tree !== undefined) sendList(url, response);
    else if (file !== undefined) sendFile(decodeURIComponent(file), request, response);
    else response.writeHead(url.pathname.includes('/gated/') ? 403 : 404).end();
  }

  function sendList(url: URL, response: ServerResponse): void {
    const { list, pageSize = 1000 } = hub.faults;
    const entries = [
      { type: 'directory', path: 'sub', size: 0, oid: 'd' },
      ...Object.entries(files).map(entryOf),
    ];
    const page = Number(url.searchParams.get('page') ?? 0);
    const shown = entries.slice(page * pageSize, (page + 1) * pageSize);
    if ((page + 1) * pageSize < entries.length) {
      response.setHeader(
        'Link',
        `<${endpoint}${url.pathname}?recursive=true&page=${page + 1}>; rel="next"`,
      );
    }
    response.end(JSON.stringify(list === undefined ? shown : list(shown)));
  }

  function sendFile(path: string, request: IncomingMessage, response: ServerResponse): void {
    const { faults } = hub;
    if (faults.redirectTo !== undefined) {
      response.writeHead(302, { Location: faults.redirectTo + (request.url as string) }).end();
      return;
    }
    if (faults.refuse !== undefined && faults.refuse.times-- > 0) {
      response.writeHead(faults.refuse.status).end();
      return;
    }
    const honest = files[path] as Buffer;
    const content = faults.corrupt?.(path, honest) ?? honest;
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '');
    let body = content;
    if (range !== null && faults.hasNoRanges !== true) {
      const [start, last] = [Number(range[1]), Number(range[2])];
      body = content.subarray(start, last + 1 + (faults.excess ?? 0));
      const contentRange = `bytes ${start}-${last}/${content.length}`;
      response.statusCode = 206;
      response.setHeader('Content-Range', faults.contentRange?.(contentRange) ?? contentRange);
    }
    response.setHeader('Content-Length', body.length);
    if (faults.hangs) response.flushHeaders();
    else if (faults.cutAfter !== undefined && faults.cutAfter.times-- > 0) {
      response.write(body.subarray(0, faults.cutAfter.bytes), () => response.destroy());
    } else response.end(body);
  }
}

function entryOf([path, content]: [string, Buffer]): Record<string, unknown> {
  const git = createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex');
  const base = { type: 'file', path, size: content.length, oid: git };
  if (content.length < 100) return base;
  const oid = createHash('sha256').update(content).digest('hex');
  return { ...base, oid: 'b'.repeat(40), lfs: { oid, size: content.length, pointerSize: 130 } };
}
