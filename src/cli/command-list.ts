// The commands of `attune` by name; only the one that was called is loaded.
import { Command } from 'commander';
import { installedVersion } from '../config/load.ts';

type Register = (program: Command) => void;

const night = async (): Promise<Register> =>
  (await import('./night/night-command.ts')).registerNight;

const overview = async (): Promise<Register> => (await import('./overview.ts')).registerOverview;

/** In the order in which `attune --help` shows them. */
export const COMMANDS: Readonly<Record<string, () => Promise<Register>>> = {
  start: async () => (await import('./start.ts')).registerStart,
  chat: async () => (await import('./chat/chat.ts')).registerChat,
  status: overview,
  flags: overview,
  search: overview,
  memory: overview,
  import: async () => (await import('./conversation/import.ts')).registerImport,
  rate: async () => (await import('./conversation/rate.ts')).registerRate,
  export: async () => (await import('./conversation/export.ts')).registerExport,
  config: async () => (await import('./print-config.ts')).registerConfig,
  night,
  summary: night,
  swap: night,
  'import-adapter': async () => (await import('./model/import-adapter.ts')).registerImportAdapter,
  'listen-test': async () => (await import('./model/listen-test.ts')).registerListenTest,
  demo: async () => (await import('./conversation/demo.ts')).registerDemo,
  models: async () => (await import('./model/models.ts')).registerModels,
  doctor: async () => (await import('./model/doctor.ts')).registerDoctor,
  pull: async () => (await import('./hub/pull.ts')).registerPull,
  completion: async () => (await import('./completion.ts')).registerCompletion,
};

/** The program with the command of this name, or with all commands where there is none of it. */
export async function createProgram(name: string | undefined): Promise<Command> {
  const program = new Command('attune')
    .description('A daemon around a local chat model that learns, night by night, to listen.')
    .version(await installedVersion());
  // A completion names all of them.
  const isOne = name !== undefined && name !== 'completion' && Object.hasOwn(COMMANDS, name);
  const called = isOne ? COMMANDS[name] : undefined;
  const loaders = called === undefined ? Object.values(COMMANDS) : [called];
  for (const register of await Promise.all([...new Set(loaders)].map((load) => load()))) {
    register(program);
  }
  return program;
}
