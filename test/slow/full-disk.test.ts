// A disk that is full in the phases of a night that the default run leaves out.
import { fullDisk } from '../system/full-disk.ts';

fullDisk(['dream', 'train']);
