/* What a data space hands to an algorithm on standard input, and the rows it takes on standard output.
 *
 * The form is docs/formats.md, "A module's input and output". Little-endian, as wasm is. Read in this order:
 *
 *     ds_open();
 *     while (ds_next_table())
 *         while (ds_next_block())
 *             for (uint32_t row = 0; row < ds_rows; row++) ...
 *     ds_begin(); for each row: ds_put_...() for each output column in the manifest's order
 *     ds_end();
 *
 * Memory for one block of at most 65,536 rows is enough. What can't be read ends the module with status 1. */
#ifndef DATASPACE_H
#define DATASPACE_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DS_INTEGER = 1, DS_NUMBER = 2, DS_TEXT = 3, DS_BOOLEAN = 4, DS_TIME = 5 };

/* A parameter (one row), or a column of the block at hand. Times are microseconds since 1970. */
typedef struct {
    char *name;
    uint8_t type;
    uint8_t *present;  /* by row: 1 where there is a value */
    int64_t *integers; /* DS_INTEGER, DS_TIME */
    double *numbers;   /* DS_NUMBER */
    uint8_t *booleans; /* DS_BOOLEAN */
    uint32_t *lengths; /* DS_TEXT: bytes of each text */
    char **texts;      /* DS_TEXT: where each begins; not ended by a zero byte */
    char *bytes;
} ds_column;

static ds_column *ds_parameters, *ds_columns;
static uint32_t ds_parameter_count, ds_column_count, ds_tables, ds_rows;

static inline void ds_read(void *to, size_t size) {
    char *at = to;
    while (size) {
        ssize_t got = read(0, at, size);
        if (got <= 0) exit(1);
        at += got;
        size -= (size_t)got;
    }
}

static inline uint32_t ds_u32(void) {
    uint32_t value;
    ds_read(&value, sizeof value);
    return value;
}

static inline void *ds_room(void *old, size_t count, size_t size) {
    void *room = realloc(old, count * size + 1);
    if (!room) exit(1);
    return room;
}

static inline void ds_read_heading(ds_column *column) {
    uint32_t size = ds_u32();
    column->name = ds_room(0, size, 1);
    ds_read(column->name, size);
    column->name[size] = 0;
    ds_read(&column->type, 1);
}

static inline void ds_read_values(ds_column *column, uint32_t rows) {
    switch (column->type) {
    case DS_INTEGER:
    case DS_TIME:
        column->integers = ds_room(column->integers, rows, 8);
        ds_read(column->integers, rows * 8);
        return;
    case DS_NUMBER:
        column->numbers = ds_room(column->numbers, rows, 8);
        ds_read(column->numbers, rows * 8);
        return;
    case DS_BOOLEAN:
        column->booleans = ds_room(column->booleans, rows, 1);
        ds_read(column->booleans, rows);
        return;
    case DS_TEXT: {
        size_t total = 0;
        column->lengths = ds_room(column->lengths, rows, 4);
        ds_read(column->lengths, rows * 4);
        for (uint32_t row = 0; row < rows; row++) total += column->lengths[row];
        column->bytes = ds_room(column->bytes, total, 1);
        ds_read(column->bytes, total);
        column->texts = ds_room(column->texts, rows, sizeof(char *));
        for (uint32_t row = 0; row < rows; row++)
            column->texts[row] = row ? column->texts[row - 1] + column->lengths[row - 1] : column->bytes;
        return;
    }
    default:
        exit(1);
    }
}

/* Reads the beginning and the parameters. */
static inline void ds_open(void) {
    char magic[8];
    ds_read(magic, 8);
    if (memcmp(magic, "dswasm1\n", 8)) exit(1);
    ds_parameter_count = ds_u32();
    ds_parameters = calloc(ds_parameter_count + 1, sizeof(ds_column));
    for (uint32_t at = 0; at < ds_parameter_count; at++) {
        ds_read_heading(&ds_parameters[at]);
        ds_read_values(&ds_parameters[at], 1);
    }
    ds_tables = ds_u32();
}

/* Goes to the next table, the capsules in the order's order; 0 after the last. */
static inline int ds_next_table(void) {
    if (!ds_tables) return 0;
    ds_tables--;
    ds_column_count = ds_u32();
    ds_columns = calloc(ds_column_count + 1, sizeof(ds_column));
    for (uint32_t at = 0; at < ds_column_count; at++) ds_read_heading(&ds_columns[at]);
    return 1;
}

/* Reads the next block of the table; its number of rows is in ds_rows, 0 at the table's end. */
static inline uint32_t ds_next_block(void) {
    ds_rows = ds_u32();
    for (uint32_t at = 0; ds_rows && at < ds_column_count; at++) {
        ds_columns[at].present = ds_room(ds_columns[at].present, ds_rows, 1);
        ds_read(ds_columns[at].present, ds_rows);
        ds_read_values(&ds_columns[at], ds_rows);
    }
    return ds_rows;
}

static inline ds_column *ds_named(ds_column *columns, uint32_t count, const char *name) {
    for (uint32_t at = 0; at < count; at++)
        if (!strcmp(columns[at].name, name)) return &columns[at];
    return 0;
}

/* A column of the table at hand, or a parameter; 0 where there is none of that name. */
static inline ds_column *ds_find(const char *name) { return ds_named(ds_columns, ds_column_count, name); }
static inline ds_column *ds_parameter(const char *name) { return ds_named(ds_parameters, ds_parameter_count, name); }

/* A cell as a number, whether it was written as an integer or not. */
static inline double ds_number(const ds_column *column, uint32_t row) {
    return column->type == DS_NUMBER ? column->numbers[row] : (double)column->integers[row];
}

static inline int ds_text_is(const ds_column *column, uint32_t row, const char *text) {
    return column->lengths[row] == strlen(text) && !memcmp(column->texts[row], text, column->lengths[row]);
}

static char ds_buffer[65536];
static size_t ds_waiting;

static inline void ds_flush(void) {
    for (size_t at = 0; at < ds_waiting;) {
        ssize_t put = write(1, ds_buffer + at, ds_waiting - at);
        if (put <= 0) exit(1);
        at += (size_t)put;
    }
    ds_waiting = 0;
}

static inline void ds_write(const void *data, size_t size) {
    const char *at = data;
    while (size--) {
        if (ds_waiting == sizeof ds_buffer) ds_flush();
        ds_buffer[ds_waiting++] = *at++;
    }
}

static inline void ds_begin(void) { ds_write("dswasm1\n", 8); }
static inline void ds_end(void) { ds_flush(); }

static inline void ds_put(const void *data, size_t size) {
    uint8_t present = 1;
    ds_write(&present, 1);
    ds_write(data, size);
}

static inline void ds_put_missing(void) { ds_write("", 1); }
static inline void ds_put_integer(int64_t value) { ds_put(&value, 8); }
static inline void ds_put_number(double value) { ds_put(&value, 8); }
static inline void ds_put_boolean(uint8_t value) { ds_put(&value, 1); }
static inline void ds_put_time(int64_t microseconds) { ds_put(&microseconds, 8); }

static inline void ds_put_text(const char *text) {
    uint32_t size = (uint32_t)strlen(text);
    ds_put(&size, 4);
    ds_write(text, size);
}

#endif
