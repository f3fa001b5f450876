/** clock is the time in ms, comparable between a page and its workers. */
export const clock = () => performance.timeOrigin + performance.now();
