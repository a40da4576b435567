import { describe, expect, it } from 'vitest';
import { openTestDaemon } from '../server/open-test-daemon.ts';
import { canBrowse, NEEDS, openPage, PATIENT, replied, SLOW, say, webFolder } from './browser.ts';
import { openHouse } from './house.ts';

describe.skipIf(!canBrowse)(`the page in the browser ${NEEDS}`, SLOW, () => {
  const house = openHouse();
  const { engine } = house;

  it('fits a phone: nothing sticks out, the list opens, closes and gives the focus back', async () => {
    engine.answer = `A long word: ${'x'.repeat(200)}\n\n\`\`\`\n${'y '.repeat(200)}\n\`\`\``;
    const viewport = { width: 390, height: 780 };
    const options = { viewport, hasTouch: true, isMobile: true };
    const { page, complaints, close } = await openPage(house.browser, house.daemon.url, options);
    await page.getByText('What is on your mind?').waitFor();
    expect(await page.evaluate('document.activeElement.tagName')).toBe('BODY');
    await say(page, 'Small');
    await replied(page, 'A long word');
    const width = await page.evaluate('document.documentElement.scrollWidth');
    expect(width).toBe(390);
    const list = page.getByRole('navigation', { name: 'Conversations' });
    expect(await list.isVisible()).toBe(false);
    await page.getByRole('button', { name: 'Conversations' }).click();
    await list.getByRole('link', { name: 'Small' }).waitFor();
    await page.keyboard.press('Escape');
    await expect.poll(() => list.isVisible(), PATIENT).toBe(false);
    const focused = 'document.activeElement.getAttribute("aria-label")';
    await expect.poll(() => page.evaluate(focused), PATIENT).toBe('Conversations');
    await page.getByRole('button', { name: 'Conversations' }).click();
    await list.getByRole('link', { name: /Flags/ }).click();
    await expect.poll(() => list.isVisible(), PATIENT).toBe(false);
    await page.getByRole('button', { name: 'Conversations' }).click();
    await page
      .getByRole('button', { name: 'Close the list' })
      .click({ position: { x: 380, y: 90 } });
    await expect.poll(() => list.isVisible(), PATIENT).toBe(false);
    expect(complaints).toEqual([]);
    await close();
  });

  it('says that a model is a demonstration, and once it is known which one to start', async () => {
    const viewport = { width: 390, height: 780 };
    const { page, close } = await openPage(house.browser, house.daemon.url, { viewport });
    await page.getByText('This is a demonstration').waitFor();
    const command = 'npx attune start --model someone/a-model-with-a-long-name-Instruct-GGUF';
    house.daemon.watch.suggest({ model: 'someone/a-model', command });
    const shown = page.getByText(command);
    await shown.waitFor();
    const box = await shown.boundingBox();
    expect((box?.x ?? 0) + (box?.width ?? 1000)).toBeLessThanOrEqual(390);
    expect(await page.locator('.hint').last().textContent()).toContain(
      'on this machine, is someone/a-model',
    );
    await close();
  });

  it('is light by day and dark by night, and readable in both', async () => {
    const contrasts: number[] = [];
    for (const colorScheme of ['light', 'dark'] as const) {
      const { page, close } = await openPage(house.browser, house.daemon.url, { colorScheme });
      await page.getByText('What is on your mind?').waitFor();
      const { ink, paper } = await page.evaluate<{ ink: number; paper: number }>(`(() => {
        const lightness = (color) => {
          const [r, g, b] = color.match(/[\\d.]+/g).map((value) => {
            const share = value / 255;
            return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
          });
          return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const soft = getComputedStyle(document.querySelector('.empty p')).color;
        const paper = getComputedStyle(document.body).backgroundColor;
        return { ink: lightness(soft), paper: lightness(paper) };
      })()`);
      expect(paper > 0.5).toBe(colorScheme === 'light');
      contrasts.push((Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05));
      await close();
    }
    // WCAG 2.2, 1.4.3: 4.5 for the softest text.
    expect(Math.min(...contrasts)).toBeGreaterThan(4.5);
  });

  it('asks for the token, says no to a wrong one, and remembers the right one', async () => {
    const guarded = await openTestDaemon({
      config: { server: { token: 'a-long-enough-token-of-the-house' } },
      webFolder,
    });
    const { page, complaints, close } = await openPage(house.browser, guarded.url);
    const field = page.getByLabel('Token', { exact: true });
    await field.fill('wrong');
    await page.keyboard.press('Enter');
    await page.getByText('That was not the token.').waitFor();
    await field.fill('a-long-enough-token-of-the-house');
    await page.keyboard.press('Enter');
    await page.getByRole('status').getByText('fake').waitFor();
    await page.reload();
    await page.getByRole('status').getByText('fake').waitFor();
    expect(await field.count()).toBe(0);
    expect(complaints).toEqual([]);
    await close();
    await guarded.end();
  });
});
