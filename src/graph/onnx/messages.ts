// The ONNX messages as protobuf fields: model, graph, node, tensor; knows nothing of our graph.
import {
  bytesField,
  type Fields,
  floatField,
  integerField,
  join,
  messageField,
  stringField,
} from './protobuf.ts';

// Field numbers and enum values. Source: onnx/onnx.proto3 of ONNX 1.16.
export const ELEMENT_TYPE = {
  f32: 1,
  u8: 2,
  i32: 6,
  i64: 7,
  bool: 9,
  f16: 10,
  f64: 11,
  bf16: 16,
} as const;
export type ElementType = keyof typeof ELEMENT_TYPE;

export const MICROSOFT_DOMAIN = 'com.microsoft';
/** Opset 18 has ReduceMax and Split with axes as inputs; ORT 1.30 implements up to 25. */
const OPSET = 18;
const IR_VERSION = 8;

/** A number is an int attribute unless wrapped by `float`. */
export type Attribute = number | string | readonly number[] | { readonly float: number };

export interface NodeMessage {
  readonly opType: string;
  readonly name: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, Attribute>>;
  readonly domain?: string;
}

export interface ValueMessage {
  readonly name: string;
  readonly type: ElementType;
  readonly shape: readonly (number | string)[];
}

export interface TensorMessage {
  readonly name: string;
  readonly type: ElementType;
  readonly dims: readonly number[];
  readonly content:
    | { readonly raw: Uint8Array }
    | { readonly location: string; readonly offset: number; readonly length: number };
}

export interface GraphMessage {
  readonly name: string;
  readonly nodes: readonly NodeMessage[];
  readonly initializers: readonly TensorMessage[];
  readonly inputs: readonly ValueMessage[];
  readonly outputs: readonly ValueMessage[];
}

export function modelBytes(graph: GraphMessage): Uint8Array {
  const isFused = graph.nodes.some((node) => node.domain === MICROSOFT_DOMAIN);
  return join([
    ...integerField(1, IR_VERSION),
    ...stringField(2, 'attune'),
    ...messageField(7, graphFields(graph)),
    ...messageField(8, [...stringField(1, ''), ...integerField(2, OPSET)]),
    ...(isFused
      ? messageField(8, [...stringField(1, MICROSOFT_DOMAIN), ...integerField(2, 1)])
      : []),
  ]);
}

function graphFields(graph: GraphMessage): Fields {
  return [
    ...graph.nodes.flatMap((node) => messageField(1, nodeFields(node))),
    ...stringField(2, graph.name),
    ...graph.initializers.flatMap((tensor) => messageField(5, tensorFields(tensor))),
    ...graph.inputs.flatMap((value) => messageField(11, valueFields(value))),
    ...graph.outputs.flatMap((value) => messageField(12, valueFields(value))),
  ];
}

function nodeFields(node: NodeMessage): Fields {
  return [
    ...node.inputs.flatMap((name) => stringField(1, name)),
    ...node.outputs.flatMap((name) => stringField(2, name)),
    ...stringField(3, node.name),
    ...stringField(4, node.opType),
    ...Object.entries(node.attributes).flatMap(([name, value]) =>
      messageField(5, [...stringField(1, name), ...attributeFields(value)]),
    ),
    ...(node.domain === undefined ? [] : stringField(7, node.domain)),
  ];
}

function attributeFields(value: Attribute): Fields {
  if (typeof value === 'number') return [...integerField(3, value), ...integerField(20, 2)];
  if (typeof value === 'string') return [...stringField(4, value), ...integerField(20, 3)];
  if ('float' in value) return [...floatField(2, value.float), ...integerField(20, 1)];
  return [...value.flatMap((each) => integerField(8, each)), ...integerField(20, 7)];
}

function tensorFields(tensor: TensorMessage): Fields {
  const { content } = tensor;
  return [
    ...tensor.dims.flatMap((size) => integerField(1, size)),
    ...integerField(2, ELEMENT_TYPE[tensor.type]),
    ...stringField(8, tensor.name),
    ...('raw' in content
      ? bytesField(9, content.raw)
      : [
          ...externalEntry('location', content.location),
          ...externalEntry('offset', `${content.offset}`),
          ...externalEntry('length', `${content.length}`),
          ...integerField(14, 1), // data_location: EXTERNAL
        ]),
  ];
}

const externalEntry = (key: string, value: string): Fields =>
  messageField(13, [...stringField(1, key), ...stringField(2, value)]);

function valueFields(value: ValueMessage): Fields {
  const dims = value.shape.flatMap((size) =>
    messageField(1, typeof size === 'number' ? integerField(1, size) : stringField(2, size)),
  );
  const tensorType = [...integerField(1, ELEMENT_TYPE[value.type]), ...messageField(2, dims)];
  return [...stringField(1, value.name), ...messageField(2, messageField(1, tensorType))];
}
