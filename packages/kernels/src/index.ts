export * from './load-addon';
export * from './native-library';
export * from './block-lists';
export * from './memory-pool';
export { NativeBackend } from './native-backend';
export { registerNativeBackend } from './register';
