// Points Vulkan at the software driver of Debian's chromium where the machine has no GPU.
import { existsSync } from 'node:fs';
import { createOnnxExecutor } from '../../src/runtime/onnx.ts';

const DRIVER = '/usr/lib/chromium/vk_swiftshader_icd.json';

/** Called before the first request for WebGPU: the Vulkan loader reads the environment once. */
export function useSoftwareVulkan(): void {
  const hasGpu = existsSync('/dev/dri') || existsSync('/dev/nvidia0');
  if (!hasGpu && existsSync(DRIVER)) process.env.VK_DRIVER_FILES ??= DRIVER;
}

/** Why WebGPU cannot be tested here; undefined where it can. */
export async function whyNoWebGpu(): Promise<string | undefined> {
  useSoftwareVulkan();
  try {
    const executor = await createOnnxExecutor({ device: 'webgpu' });
    await executor.close();
    return undefined;
  } catch (error) {
    return (error as Error).message.replace(/\s+/g, ' ');
  }
}
