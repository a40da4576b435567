// Reads a TypeScript source as the house checks see it: its lines, imports, exports and functions.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseSync } from 'oxc-parser';

/** A place in a source, lines from 1. */
export interface Span {
  readonly name: string;
  readonly line: number;
  readonly lines: number;
}

export interface Source {
  /** From the repository root, with `/`. */
  readonly path: string;
  readonly lines: readonly string[];
  /** What it imports, types too: a package, or a path from the root for a file. */
  readonly imports: readonly string[];
  readonly functions: readonly Span[];
  /** Every statement hands on another file's exports. */
  readonly isBarrel: boolean;
  readonly hasDefaultExport: boolean;
  /** Titles of `it` and `test`, as far as they are literal. */
  readonly titles: readonly string[];
  /** `it.only`, `describe.skipIf`, … with the title that belongs to it. */
  readonly modifiers: readonly { readonly name: string; readonly title: string }[];
}

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const OUTSIDE = new Set(['node_modules', 'dist', 'dist-web', 'fixtures', 'peers']);

/** All TypeScript files below a folder of the repository. */
export function readSources(folder: string): Source[] {
  return list(join(ROOT, folder)).map((file) => {
    const path = relative(ROOT, file).split(sep).join('/');
    return readSource(path, readFileSync(file, 'utf8'));
  });
}

/** The Python files of a folder and which of their neighbours each imports, anywhere in it. */
export function readPythonImports(folder: string): Pick<Source, 'path' | 'imports'>[] {
  return readdirSync(join(ROOT, folder))
    .filter((name) => name.endsWith('.py'))
    .map((name) => {
      const text = readFileSync(join(ROOT, folder, name), 'utf8');
      const imports = [...text.matchAll(/^\s*(?:from|import) (\w+)/gm)];
      return { path: name, imports: imports.map(([, module]) => `${module}.py`) };
    });
}

function list(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    if (OUTSIDE.has(entry.name)) return [];
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return list(path);
    return /\.(ts|tsx)$/.test(entry.name) && !entry.name.endsWith('.d.ts') ? [path] : [];
  });
}

export function readSource(path: string, text: string): Source {
  const { program, module, errors } = parseSync(path, text);
  if (errors.length > 0) throw new Error(`${path}: ${errors[0]?.message}`);
  const lineAt = lineFinder(text);
  const functions: Span[] = [];
  const titles: string[] = [];
  const modifiers: { name: string; title: string }[] = [];
  const specifiers = module.staticImports.map((each) => each.moduleRequest.value);
  for (const each of module.staticExports.flatMap(({ entries }) => entries)) {
    if (each.moduleRequest) specifiers.push(each.moduleRequest.value);
  }
  walk(program, 'anonymous', (node, name) => {
    if (FUNCTIONS.has(node.type)) {
      functions.push({ name, line: lineAt(node.start), lines: ownLines(node, lineAt) });
    }
    if (node.type === 'ImportExpression' || node.type === 'TSImportType') {
      const source = literal(node.source);
      if (source !== undefined) specifiers.push(source);
    }
    if (node.type === 'CallExpression') readTestCall(node, titles, modifiers);
  });
  return {
    path,
    lines: text.replace(/\n$/, '').split('\n'),
    imports: specifiers.map((specifier) => resolve(path, specifier)),
    functions,
    isBarrel: program.body.length > 0 && program.body.every(handsOn),
    hasDefaultExport: program.body.some(({ type }) => type === 'ExportDefaultDeclaration'),
    titles,
    modifiers,
  };
}

/** A node of the syntax tree, as far as these checks care. */
interface SyntaxNode {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [field: string]: unknown;
}

const FUNCTIONS = new Set(['FunctionDeclaration', 'FunctionExpression', 'ArrowFunctionExpression']);

function isNode(value: unknown): value is SyntaxNode {
  return typeof value === 'object' && value !== null && 'type' in value && 'start' in value;
}

/** Visits every node with the nearest name above it: a function's, variable's or property's. */
function walk(value: unknown, name: string, visit: (node: SyntaxNode, name: string) => void): void {
  if (Array.isArray(value)) for (const each of value) walk(each, name, visit);
  if (!isNode(value)) return;
  const own = nameOf(value.id) ?? nameOf(value.key) ?? name;
  visit(value, own);
  for (const child of Object.values(value)) {
    if (typeof child === 'object' && child !== null) walk(child, own, visit);
  }
}

/** Functions and methods declared inside count on their own; callbacks belong to what calls. */
function ownLines(node: SyntaxNode, lineAt: (offset: number) => number): number {
  const linesOf = ({ start, end }: SyntaxNode): number => lineAt(end) - lineAt(start) + 1;
  const nested = (value: unknown): number => {
    if (Array.isArray(value)) return value.reduce((total, each) => total + nested(each), 0);
    if (!isNode(value)) return 0;
    const isDeclared = value.type === 'FunctionDeclaration' || value.type === 'MethodDefinition';
    if (isDeclared || value.method === true) return linesOf(value);
    return Object.values(value).reduce<number>((total, each) => total + nested(each), 0);
  };
  return linesOf(node) - nested(node.body);
}

function nameOf(value: unknown): string | undefined {
  return isNode(value) && typeof value.name === 'string' ? value.name : undefined;
}

function literal(value: unknown): string | undefined {
  if (!isNode(value)) return undefined;
  if (value.type === 'TSLiteralType') return literal(value.literal);
  return typeof value.value === 'string' ? value.value : undefined;
}

/** The text of a literal or template; what is filled in counts as one word. */
function text(value: unknown): string | undefined {
  if (!isNode(value) || value.type !== 'TemplateLiteral') return literal(value);
  const quasis = value.quasis as readonly { value: { cooked: string } }[];
  return quasis.map(({ value: { cooked } }) => cooked).join('$');
}

/** `it(…)`, `test.each(…)(…)`, `describe.skipIf(…)(…)`. */
function readTestCall(
  node: SyntaxNode,
  titles: string[],
  modifiers: { name: string; title: string }[],
): void {
  const names: string[] = [];
  let callee = node.callee;
  if (isNode(callee) && callee.type === 'CallExpression') callee = callee.callee;
  while (isNode(callee) && callee.type === 'MemberExpression') {
    names.unshift(nameOf(callee.property) ?? '');
    callee = callee.object;
  }
  const base = nameOf(callee);
  if (base !== 'it' && base !== 'test' && base !== 'describe') return;
  const title = text((node.arguments as unknown[])[0]);
  if (title === undefined) return;
  if (base !== 'describe') titles.push(title);
  for (const name of names) modifiers.push({ name, title });
}

function handsOn({ type, ...statement }: { type: string }): boolean {
  if (type === 'ExportAllDeclaration') return true;
  return type === 'ExportNamedDeclaration' && isNode((statement as { source?: unknown }).source);
}

function resolve(path: string, specifier: string): string {
  return specifier.startsWith('.') ? posix.join(dirname(path), specifier) : specifier;
}

function lineFinder(content: string): (offset: number) => number {
  const starts = [0];
  for (let i = 0; i < content.length; i++) if (content[i] === '\n') starts.push(i + 1);
  return (offset) => {
    let low = 0;
    let high = starts.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if ((starts[middle] as number) <= offset) low = middle;
      else high = middle;
    }
    return low + 1;
  };
}
