// The executor contract on ONNX Runtime's CPU.
import { createOnnxExecutor } from '../../src/runtime/onnx.ts';
import { describeExecutorContract } from './executor-contract.ts';

describeExecutorContract('ONNX Runtime on cpu', () => createOnnxExecutor({ device: 'cpu' }));
