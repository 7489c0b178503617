import { Connection } from '@vwn/layers';

const connection = new Connection({ hiddenSize: 8, m: 2, n: 4 });
export const around = connection.around.bind(connection);
