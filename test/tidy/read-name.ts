// Which names a source reads of which thing: `x.limits.flagsMax` reads `flagsMax` of `limits`; so do
// `const { flagsMax } = x.limits` and, after `const bounds = x.limits`, `bounds.flagsMax`.
import { parseSync } from 'oxc-parser';

export interface ReadName {
  /** From the repository root, with `/`. */
  readonly path: string;
  /** The last name before it; for a parameter, the name of its type. */
  readonly owner: string;
  /** `*` where the name is computed: all of them may be read. */
  readonly name: string;
}

interface SyntaxNode {
  readonly type: string;
  readonly [field: string]: unknown;
}

const isNode = (value: unknown): value is SyntaxNode =>
  typeof value === 'object' && value !== null && 'type' in value;

export function readNames(path: string, text: string): ReadName[] {
  const found: ReadName[] = [];
  const aliases: { name: string; owner: string }[] = [];
  const see: Seen = {
    read: (owner, name) => void found.push({ path, owner, name }),
    alias: (name, owner) => void aliases.push({ name, owner }),
  };
  visit(parseSync(path, text).program, (node) => {
    if (node.type === 'MemberExpression') {
      see.read(lastName(node.object), node.computed === true ? '*' : lastName(node.property));
    }
    if (node.type === 'VariableDeclarator') takeApart(node.id, lastName(node.init), see);
    if (Array.isArray(node.params)) {
      for (const parameter of node.params) takeApart(parameter, typeName(parameter), see);
    }
  });
  const again = found.flatMap((read) =>
    aliases.filter(({ name }) => name === read.owner).map(({ owner }) => ({ ...read, owner })),
  );
  return [...found, ...again];
}

interface Seen {
  readonly read: (owner: string, name: string) => void;
  /** From here on the owner is called `name`; anywhere in the file, to be simple. */
  readonly alias: (name: string, owner: string) => void;
}

function visit(value: unknown, see: (node: SyntaxNode) => void): void {
  if (Array.isArray(value)) for (const each of value) visit(each, see);
  if (!isNode(value)) return;
  see(value);
  for (const child of Object.values(value)) visit(child, see);
}

/** `a.b.c` → `c`; what is waited for, asserted or a fallback for is looked through. */
function lastName(node: unknown): string {
  if (!isNode(node)) return '';
  if (typeof node.name === 'string') return node.name;
  return lastName(node.property ?? node.argument ?? node.expression ?? node.left);
}

/** `TrainSettings` of `{ rank }: TrainSettings`, `gate` of `{ sourcesMin }: Config['gate']`. */
function typeName(node: unknown): string {
  if (!isNode(node)) return '';
  if (node.type === 'TSTypeReference') return lastName(node.typeName);
  if (node.type === 'TSLiteralType' && isNode(node.literal)) return String(node.literal.value);
  return typeName(node.left ?? node.typeAnnotation ?? node.indexType);
}

/** Names in `{ a, b: { c } } = owner`; `owner` itself has another name in `it = owner`. */
function takeApart(pattern: unknown, owner: string, see: Seen): void {
  if (!isNode(pattern)) return;
  if (pattern.type === 'Identifier' && lastName(pattern) !== owner) {
    see.alias(lastName(pattern), owner);
  }
  if (pattern.type === 'AssignmentPattern') takeApart(pattern.left, owner, see);
  if (pattern.type !== 'ObjectPattern') return;
  for (const property of pattern.properties as SyntaxNode[]) {
    if (property.type !== 'Property' || property.computed === true) continue;
    const name = lastName(property.key);
    see.read(owner, name);
    takeApart(property.value, name, see);
  }
}
