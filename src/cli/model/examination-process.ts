// The process in which `attune doctor` tests one device, so that a crash there is a finding.
import { type ExaminationRequest, examine } from './examination.ts';

process.once('message', (request) => {
  void examine(request as ExaminationRequest).then((found) => {
    process.send?.(found, () => process.exit(0));
  });
});
process.on('disconnect', () => process.exit(0));
