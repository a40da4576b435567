// Jinja's interpreter where templates notice that it is not Python's: what the library leaves out
// or does otherwise (@huggingface/jinja 0.5.11) is done here, before it sees the node.
import { Environment, Interpreter } from '@huggingface/jinja';

/** The parts of the library that are used, as its types do not resolve under nodenext. */
interface Node {
  readonly type: string;
}
interface Value {
  readonly type: string;
  readonly value: unknown;
}
interface Scope {
  /** Converts a value of JavaScript's. */
  set(name: string, value: unknown): Value;
}
interface LibraryInterpreter {
  run(program: Node): Value;
  /** Of every node; whatever a node is made of is evaluated through it too. */
  evaluate(node: Node | undefined, scope: Scope): Value;
}
const LibraryInterpreter: new (scope: Scope) => LibraryInterpreter = Interpreter;

interface NamedNode extends Node {
  readonly value: string;
}
interface MemberNode extends Node {
  readonly object: Node;
  readonly property: NamedNode;
  readonly computed: boolean;
}
interface CallNode extends Node {
  readonly callee: NamedNode;
  readonly args: readonly Node[];
}
interface FilterNode extends Node {
  readonly operand: Node;
  readonly filter: NamedNode | CallNode;
}
interface BinaryNode extends Node {
  readonly operator: { readonly value: string };
  readonly left: Node;
  readonly right: Node;
}
interface DictNode extends Node {
  readonly value: ReadonlyMap<Node, Node>;
}

type StringMethod = (text: string, ...args: unknown[]) => unknown;

/** Python's methods of a string that the library does not have, or whose arguments it ignores. */
const STRING_METHODS: Readonly<Record<string, StringMethod>> = {
  strip: (text, characters) => stripEnd(stripStart(text, characters), characters),
  lstrip: stripStart,
  rstrip: stripEnd,
  rsplit: splitFromEnd,
};

export class PythonInterpreter extends LibraryInterpreter {
  override evaluate(node: Node | undefined, scope: Scope): Value {
    switch (node?.type) {
      case 'MemberExpression':
        return this.#member(node as MemberNode, scope);
      case 'BinaryExpression':
        return this.#binary(node as BinaryNode, scope);
      case 'FilterExpression':
        return this.#filter(node as FilterNode, scope);
      case 'ObjectLiteral':
        return super.evaluate(withTextKeys(node as DictNode), scope);
      default:
        return super.evaluate(node, scope);
    }
  }

  /** `content.lstrip('\n')` */
  #member(node: MemberNode, scope: Scope): Value {
    const { object, property, computed } = node;
    const isKnown = !computed && Object.hasOwn(STRING_METHODS, property.value);
    const value = isKnown ? this.evaluate(object, scope) : undefined;
    if (value?.type !== 'StringValue') return super.evaluate(node, scope);
    const method = STRING_METHODS[property.value] as StringMethod;
    return templateValue((...args: unknown[]) => method(String(value.value), ...args));
  }

  /** Values of different kinds are never equal: the library compares as JavaScript's `==` does. */
  #binary(node: BinaryNode, scope: Scope): Value {
    const { value: operator } = node.operator;
    if (operator !== '==' && operator !== '!=') return super.evaluate(node, scope);
    const left = this.evaluate(node.left, scope);
    const right = this.evaluate(node.right, scope);
    return templateValue(areEqual(left, right) === (operator === '=='));
  }

  #filter(node: FilterNode, scope: Scope): Value {
    const { operand, filter } = node;
    if (!isCall(filter)) return super.evaluate(node, scope);
    const { value: name } = filter.callee;
    if (name === 'trim') {
      const text = this.evaluate(operand, scope);
      const [characters] = filter.args.map((argument) => this.evaluate(argument, scope));
      if (text.type === 'StringValue') {
        return templateValue(STRING_METHODS.strip?.(String(text.value), characters?.value));
      }
    }
    if (name !== 'selectattr' && name !== 'rejectattr') return super.evaluate(node, scope);
    const list = this.evaluate(operand, scope);
    if (list.type === 'NullValue' || list.type === 'UndefinedValue') return templateValue([]);
    return super.evaluate(withoutUndefinedTest(node, filter), scope);
  }
}

function isCall(filter: FilterNode['filter']): filter is CallNode {
  return filter.type === 'CallExpression';
}

/** A value of the template's, through the one conversion that the library offers. */
function templateValue(value: unknown): Value {
  const scope: Scope = new Environment();
  return scope.set('value', value);
}

const NUMERIC = ['IntegerValue', 'FloatValue', 'BooleanValue'];

function areEqual(left: Value, right: Value): boolean {
  if (NUMERIC.includes(left.type) && NUMERIC.includes(right.type)) {
    return Number(left.value) === Number(right.value);
  }
  if (left.type !== right.type) return false;
  if (!Array.isArray(left.value) || !Array.isArray(right.value)) return left.value === right.value;
  const others = right.value;
  return (
    left.value.length === others.length &&
    left.value.every((value, index) => areEqual(value, others[index] as Value))
  );
}

/** Keys of a mapping are text here; `{0: 1}` has the key `'0'`. */
function withTextKeys(node: DictNode): DictNode {
  const entries = [...node.value].map(([key, value]): [Node, Node] => {
    const isNumber = key.type === 'IntegerLiteral';
    const text = { type: 'StringLiteral', value: String((key as NamedNode).value) };
    return [isNumber ? text : key, value];
  });
  return { ...node, value: new Map(entries) };
}

/** An attribute that is not there passes no test of the library's, `undefined` neither. */
function withoutUndefinedTest(node: FilterNode, filter: CallNode): FilterNode {
  const [attribute, test] = filter.args;
  if (attribute === undefined || (test as NamedNode | undefined)?.value !== 'undefined')
    return node;
  const opposite = filter.callee.value === 'selectattr' ? 'rejectattr' : 'selectattr';
  const args = [attribute, { ...test, type: 'StringLiteral', value: 'defined' }];
  return { ...node, filter: { ...filter, callee: { ...filter.callee, value: opposite }, args } };
}

function stripStart(text: string, characters?: unknown): string {
  if (typeof characters !== 'string') return text.trimStart();
  let start = 0;
  while (start < text.length && characters.includes(text[start] as string)) start++;
  return text.slice(start);
}

function stripEnd(text: string, characters?: unknown): string {
  if (typeof characters !== 'string') return text.trimEnd();
  let end = text.length;
  while (end > 0 && characters.includes(text[end - 1] as string)) end--;
  return text.slice(0, end);
}

function splitFromEnd(text: string, separator?: unknown, countMax: unknown = -1): string[] {
  const isBlank = typeof separator !== 'string';
  const parts = isBlank ? text.trim().split(/\s+/).filter(Boolean) : text.split(separator);
  const count = Number(countMax);
  if (count < 0 || isBlank || parts.length <= count + 1) return parts;
  const kept = parts.slice(parts.length - count);
  return [parts.slice(0, parts.length - count).join(separator), ...kept];
}
