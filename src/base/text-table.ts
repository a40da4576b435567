// Columns of text of one width, for a terminal and for Markdown that people read as it is.

/** The cells of each row, padded to the widest of their column; the last column stays as it is. */
export function alignedRows(rows: readonly (readonly string[])[]): string[][] {
  const widthOf = (column: number): number =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0));
  return rows.map((row) =>
    row.map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widthOf(column)))),
  );
}
