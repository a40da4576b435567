// The built web client: a fixed set of files read at the start; no path of a request is opened.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { extname, join, relative, sep } from 'node:path';
import { AttuneError } from '../base/errors.ts';
import { sha256 } from '../base/hash.ts';
import { needsUpstream } from '../protocol/openai.ts';

const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "font-src 'self'",
  "connect-src 'self'",
  "manifest-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.woff2': 'font/woff2',
  '.json': 'application/json; charset=utf-8',
  '.webmanifest': 'application/manifest+json',
  '.txt': 'text/plain; charset=utf-8',
};

/** The pages of the client; it says itself what others are not. */
const PAGE = /^\/(?:(?:conversations|talks)\/[^/]+|flags|model|nights(?:\/[^/]+){0,2})?\/?$/;
const FILES_MAX = 500;
const FILE_BYTES_MAX = 16 * 2 ** 20;

const NOT_BUILT = `<!doctype html><html lang="en"><meta charset="utf-8"><title>Attune</title>
<h1>Attune is running</h1>
<p>The web client is not built yet: run <code>npm run build</code> and start again, or talk in
the terminal with <code>attune chat</code>.</p></html>
`;

/** What clients ask for whose base address lacks `/v1`. */
const WITHOUT_V1 = /^\/+(?:models|chat\/completions|completions|responses|embeddings)\b/;

export function nothingAt(path: string): AttuneError {
  const rest = `${needsUpstream('Kept answers, files and the rest of this API are')}.`;
  const isApi = path.startsWith('/v1/');
  const hint = isApi ? rest : WITHOUT_V1.test(path) ? 'The address of the API ends with /v1.' : '';
  return new AttuneError(
    'route-unknown',
    `There is nothing at ${path.slice(0, 200)}. ${hint}`.trim(),
  );
}

interface StaticFile {
  readonly bytes: Buffer;
  readonly type: string;
  readonly etag: string;
}

export interface StaticFiles {
  /** A page for any path without a dot, so that the client's own routes can be reloaded. */
  serve(request: IncomingMessage, response: ServerResponse, path: string): void;
}

function readAll(folder: string): Map<string, StaticFile> {
  const files = new Map<string, StaticFile>();
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true) return files;
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const type = TYPES[extname(entry.name)];
    // Links could lead out of the folder: only files.
    if (!entry.isFile() || type === undefined || files.size >= FILES_MAX) continue;
    const path = join(entry.parentPath, entry.name);
    if (statSync(path).size > FILE_BYTES_MAX) continue;
    const bytes = readFileSync(path);
    const name = `/${relative(folder, path).split(sep).join('/')}`;
    files.set(name, { bytes, type, etag: `"${sha256(bytes).slice(0, 32)}"` });
  }
  return files;
}

/** @param folder where the built web client is; it may be missing */
export function readStaticFiles(folder: string): StaticFiles {
  const files = readAll(folder);
  const bytes = Buffer.from(NOT_BUILT, 'utf8');
  const type = TYPES['.html'] as string;
  const index = files.get('/index.html') ?? { bytes, type, etag: '"not-built"' };

  return {
    serve(request, response, path) {
      if (request.method !== 'GET' && request.method !== 'HEAD') {
        throw nothingAt(path);
      }
      // Somebody who reads gets a page that says so; programs get an error.
      const isForReaders = request.headers.accept?.includes('text/html') === true;
      const file = files.get(path) ?? (PAGE.test(path) || isForReaders ? index : undefined);
      if (file === undefined) throw nothingAt(path);
      // Vite puts a hash into the names under /assets/: they never change.
      const isFixed = path.startsWith('/assets/');
      const headers = {
        'Content-Security-Policy': CONTENT_SECURITY_POLICY,
        'Cache-Control': isFixed ? 'public, max-age=31536000, immutable' : 'no-cache',
        ETag: file.etag,
      };
      if (request.headers['if-none-match'] === file.etag) {
        response.writeHead(304, headers).end();
        return;
      }
      const length = { 'Content-Type': file.type, 'Content-Length': file.bytes.length };
      const isFound = file !== index || PAGE.test(path);
      response.writeHead(isFound ? 200 : 404, { ...headers, ...length });
      response.end(request.method === 'HEAD' ? undefined : file.bytes);
    },
  };
}
