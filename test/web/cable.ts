// A cable between browser and daemon that can be pulled out: a TCP proxy on the loopback.
import { connect, createServer, type Socket } from 'node:net';

export interface Cable {
  readonly url: string;
  /** Cuts every connection; new ones are cut at once. */
  pull(): void;
  plug(): void;
  /** What is connected now stays so and hears nothing any more, as after a sleep. */
  freeze(): void;
  close(): Promise<void>;
}

export async function openCable(port: number): Promise<Cable> {
  const sockets = new Set<Socket>();
  let isPlugged = true;
  const server = createServer((near) => {
    if (!isPlugged) {
      near.destroy();
      return;
    }
    const far = connect(port, '127.0.0.1');
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one);
      one.on('error', () => other.destroy());
      one.on('close', () => {
        sockets.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const own = address !== null && typeof address === 'object' ? address.port : 0;
  const cut = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: `http://127.0.0.1:${own}`,
    pull() {
      isPlugged = false;
      cut();
    },
    plug() {
      isPlugged = true;
    },
    freeze() {
      for (const socket of sockets) socket.unpipe().resume();
    },
    close() {
      cut();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
