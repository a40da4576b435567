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
  format: fillBraces,
};

/** Filters of a text that the library does not have, or whose arguments it ignores. */
const TEXT_FILTERS: Readonly<Record<string, StringMethod>> = {
  trim: (text, characters) => stripEnd(stripStart(text, characters), characters),
  wordcount: (text) => text.match(/[\p{L}\p{N}_]+/gu)?.length ?? 0,
  format: fillPercents,
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

  /** `content.lstrip('\n')`, `loop.cycle('odd', 'even')` */
  #member(node: MemberNode, scope: Scope): Value {
    const { object, property, computed } = node;
    if (!computed && property.value === 'cycle' && (object as NamedNode).value === 'loop') {
      const { value: loop } = this.evaluate(object, scope);
      const index = (loop as ReadonlyMap<string, Value>).get('index0')?.value as number;
      return templateValue((...values: unknown[]) => values[index % values.length]);
    }
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
    const name = isCall(filter) ? filter.callee.value : filter.value;
    const change = Object.hasOwn(TEXT_FILTERS, name) ? TEXT_FILTERS[name] : undefined;
    const isChoice = isCall(filter) && (name === 'selectattr' || name === 'rejectattr');
    if (change === undefined && !isChoice) return super.evaluate(node, scope);
    const value = this.evaluate(operand, scope);
    if (change !== undefined) {
      if (value.type !== 'StringValue') return super.evaluate(node, scope);
      const given = isCall(filter) ? filter.args : [];
      const args = given.map((argument) => this.evaluate(argument, scope).value);
      return templateValue(change(String(value.value), ...args));
    }
    if (value.type === 'NullValue' || value.type === 'UndefinedValue') return templateValue([]);
    return super.evaluate(withoutUndefinedTest(node, filter as CallNode), scope);
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

/** What `%` does in Python: `%s`, `%d`, `%5.2f`, `%%`. */
function fillPercents(text: string, ...values: unknown[]): string {
  let next = 0;
  const place = /%(-?)(0?)(\d*)(?:\.(\d+))?([sdif%])/g;
  return text.replace(place, (_, minus: string, zero: string, width, digits, kind: string) => {
    if (kind === '%') return '%';
    const value = valueAt(values, next++);
    const number = Number(value);
    const whole = kind === 'f' ? number.toFixed(Number(digits ?? 6)) : String(Math.trunc(number));
    const plain = kind === 's' ? String(value).slice(0, digits) : whole;
    const places = Math.min(Number(width), PLACES_MAX);
    return minus === '' ? plain.padStart(places, zero || ' ') : plain.padEnd(places);
  });
}

const PLACES_MAX = 1000;

/** `{}` and `{0}`; a format within the braces is refused. */
function fillBraces(text: string, ...values: unknown[]): string {
  let next = 0;
  return text.replace(/\{\{|\}\}|\{([^{}]*)\}/g, (found, index: string | undefined) => {
    if (index === undefined) return found.slice(1);
    if (!/^\d*$/.test(index)) throw new Error(`format: ${found} is not implemented`);
    return String(valueAt(values, index === '' ? next++ : Number(index)));
  });
}

function valueAt(values: readonly unknown[], index: number): unknown {
  if (index >= values.length) throw new Error(`format: there is no value ${index}`);
  return values[index];
}
