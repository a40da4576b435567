// The commands of `attune` by name; only the one that was called is loaded.
import { Command } from 'commander';

type Register = (program: Command) => void;

const night = async (): Promise<Register> => (await import('./night.ts')).registerNight;

/** In the order in which `attune --help` shows them. */
export const COMMANDS: Readonly<Record<string, () => Promise<Register>>> = {
  start: async () => (await import('./start.ts')).registerStart,
  chat: async () => (await import('./chat.ts')).registerChat,
  replay: async () => (await import('./replay.ts')).registerReplay,
  import: async () => (await import('./import.ts')).registerImport,
  export: async () => (await import('./export.ts')).registerExport,
  config: async () => (await import('./config.ts')).registerConfig,
  night,
  summary: night,
  swap: night,
  memory: async () => (await import('./memory.ts')).registerMemory,
  train: async () => (await import('./train.ts')).registerTrain,
  eval: async () => (await import('./eval.ts')).registerEval,
  demo: async () => (await import('./demo.ts')).registerDemo,
  generate: async () => (await import('./generate.ts')).registerGenerate,
  inspect: async () => (await import('./inspect.ts')).registerInspect,
  doctor: async () => (await import('./doctor.ts')).registerDoctor,
  pull: async () => (await import('./pull.ts')).registerPull,
};

/** The program with the command of this name, or with all of them when it is none. */
export async function createProgram(name: string | undefined): Promise<Command> {
  const program = new Command('attune').description(
    'A daemon around a local chat model that learns, night by night, to listen.',
  );
  const called = name !== undefined && Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  const loaders = called === undefined ? Object.values(COMMANDS) : [called];
  for (const register of await Promise.all([...new Set(loaders)].map((load) => load()))) {
    register(program);
  }
  return program;
}
