export * from './check-gradients';
export * from './connection-cases';
export * from './evaluate-case';
export * from './expert-cases';
export * from './op-case';
export * from './tolerances';
export * from './transformer-cases';
export * from './op-cases';
