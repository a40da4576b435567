// `attune chat`: a conversation in the terminal.
import type { Command } from 'commander';
import { type AddressOptions, findDaemon } from '../daemon.ts';
import { ChatSession } from './chat-session.ts';
import { openLineHistory } from './line-history.ts';
import { runCommand } from './slash-command.ts';
import { openTerminal } from './terminal.ts';

interface ChatOptions extends AddressOptions {
  readonly open?: string;
}

export function registerChat(program: Command): void {
  program
    .command('chat')
    .description('chat with the model in the terminal (the daemon must be running)')
    .option('--url <address>', 'URL of the daemon, such as http://127.0.0.1:4747')
    .option('--config <file>', 'configuration file')
    .option('--open <id>', 'continue this conversation')
    .action((options: ChatOptions) => chat(options));
}

async function chat(options: ChatOptions): Promise<void> {
  const address = await findDaemon(options);
  let session: ChatSession | undefined;
  const terminal = openTerminal({
    input: process.stdin,
    output: process.stdout,
    openHistory: openLineHistory,
    conversationId: () => session?.view.conversationId ?? '',
    onInterrupt: (typed) => session?.interrupt(typed),
    takeAtOnce: (line) => {
      if (line.trim() !== '/stop' || session?.view.isReplying !== true) return false;
      session.stop();
      return true;
    },
  });
  session = new ChatSession(address, terminal, runCommand);
  try {
    await session.run({ open: options.open });
  } finally {
    session.client.close();
    terminal.close();
  }
}
