// What a person names to `attune pull`: a repository of the hub, one of its files, or an address.
import { AttuneError } from '../../base/errors.ts';

export interface Source {
  /** `OWNER/NAME`. */
  readonly repository: string;
  readonly revision: string;
  /** Such as `Q4_K_M`, where one was asked for. */
  readonly quantization: string | undefined;
  /** Path of a GGUF file in the repository, where one was asked for. */
  readonly file: string | undefined;
}

const HUB_HOSTS = ['huggingface.co', 'www.huggingface.co', 'hf.co'];

const PART = '[A-Za-z0-9_][\\w.-]*';
const NAMED = new RegExp(
  `^(${PART}/${PART})((?:/[\\w.-]+)+\\.gguf)?(?::(\\w+))?(?:@(${PART}(?:/${PART})*))?$`,
);
/** What may follow a repository in an address: a view of a revision, or of a file in it. */
const VIEW = /^(?:tree|blob|resolve|raw)\/([\w.-]+)(?:\/(.+))?$/;

/**
 * @param endpoint the hub's address; addresses of it are taken, too
 * @throws config-invalid, saying what to write
 */
export function parseSource(text: string, endpoint: string): Source {
  const address = addressOf(text);
  if (address === undefined) return named(text);
  const hosts = [...HUB_HOSTS, new URL(endpoint).host];
  if (!hosts.includes(address.host)) {
    throw invalid(text, `${address.host} is not the hub; models are fetched from ${endpoint}`);
  }
  const parts = decoded(address.pathname, text).split('/').filter(Boolean);
  const [, revision, path] = VIEW.exec(parts.slice(2).join('/')) ?? [];
  const file = path?.endsWith('.gguf') === true ? `/${path}` : '';
  if (parts.length > 2 && revision === undefined)
    throw invalid(text, 'this is not the page of a model or of its file');
  const source = named(`${parts.slice(0, 2).join('/')}${file}`);
  return revision === undefined ? source : { ...source, revision };
}

function decoded(path: string, text: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    throw invalid(text, adviceOn(text));
  }
}

function addressOf(text: string): URL | undefined {
  const isBare = HUB_HOSTS.some((host) => text.startsWith(`${host}/`));
  const full = isBare ? `https://${text}` : text;
  return /^https?:\/\//.test(full) && URL.canParse(full) ? new URL(full) : undefined;
}

function named(text: string): Source {
  const [, repository, file, quantization, revision = 'main'] = NAMED.exec(text) ?? [];
  if (repository === undefined || /\.\.|\/\./.test(text)) throw invalid(text, adviceOn(text));
  return { repository, revision, quantization, file: file?.slice(1) };
}

function adviceOn(text: string): string {
  const ollama = /^(?:ollama:)?([\w.-]+(?:\/[\w.-]+)?(?::[\w.-]+)?)$/.exec(text)?.[1];
  if (text.startsWith('ollama:') || (ollama !== undefined && !text.includes('/'))) {
    return (
      `for a model of Ollama: \`ollama pull ${ollama}\`, then ` +
      `\`npx attune start --model ollama:${ollama}\`; a model of the hub is OWNER/NAME`
    );
  }
  return 'write OWNER/NAME, OWNER/NAME:QUANT, OWNER/NAME/FILE.gguf or the address of its page';
}

function invalid(source: string, advice: string): AttuneError {
  const message = `${JSON.stringify(source)} cannot be fetched: ${advice}.`;
  return new AttuneError('config-invalid', message, { source });
}
