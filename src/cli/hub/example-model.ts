// A model to name where a person has none that is worth talking to, by the memory that it takes.

const EXAMPLES = [
  { name: 'Qwen/Qwen2.5-1.5B-Instruct', memoryBytes: 12e9 },
  { name: 'Qwen/Qwen2.5-0.5B-Instruct', memoryBytes: 0 },
];

/** @param memory of this machine, in bytes */
export function exampleFor(memory: number): string {
  return EXAMPLES.find(({ memoryBytes }) => memory >= memoryBytes)?.name ?? '';
}
