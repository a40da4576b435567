import { describe, expect, it } from 'vitest';
import { withHugePages } from '../../src/base/huge-pages.ts';

describe('huge pages', () => {
  it('are asked for on Linux, beside all that is set', () => {
    const environment = withHugePages({ HOME: '/home/a' }, 'linux');
    expect(environment).toMatchObject({ HOME: '/home/a' });
    expect(environment.GLIBC_TUNABLES).toContain('glibc.malloc.hugetlb=1');
  });

  it('leave tunables alone that the user set', () => {
    const environment = { GLIBC_TUNABLES: 'glibc.malloc.check=1' };
    expect(withHugePages(environment, 'linux')).toEqual(environment);
  });

  it('are not asked for elsewhere', () => {
    expect(withHugePages({}, 'darwin')).toEqual({});
  });
});
