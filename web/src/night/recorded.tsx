// Says of a recorded night what it is: real, and nobody's here.
import type { VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { RECORDED, recorded } from './api.ts';

export function Recorded({ id }: { id: string }): VNode | null {
  const [about, setAbout] = useState('');
  useEffect(() => {
    if (id !== RECORDED) return;
    recorded().then(
      (recording) => setAbout(recording.about),
      () => setAbout('The recording is not there.'),
    );
  }, [id]);
  if (id !== RECORDED) return null;
  return (
    <p class="card" role="note">
      <strong>A recording.</strong> {about} Nothing here is yours, and nothing can be decided.
    </p>
  );
}
