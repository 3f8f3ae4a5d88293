/* Credit scoring over the tables of several lenders: how many applicants fall in each risk band, and how they turned out.
 *
 * Two logistic models, one for each form of table, with coefficients fitted once and fixed here. Nothing leaves but one
 * row per lender and band, and no band of fewer applicants than the parameter min_group says.
 *
 * Parameter: min_group:integer
 * Output:    lender:integer band:text applicants:integer mean_risk:number defaults:integer
 * Group column: applicants
 *
 * Build:     python -m ziglang cc -target wasm32-wasi -O2 -s -o score.wasm score.c
 *       or:  clang --target=wasm32-wasi --sysroot=/usr -O2 -s -o score.wasm score.c */
#include "dataspace.h"
#include <math.h>

#define BANDS 5
static const char *const names[BANDS] = {"A", "B", "C", "D", "E"};
static const double edges[BANDS - 1] = {-3.0, -2.0, -1.0, 0.0}; /* of the log-odds of default */

static int positive(double value) { return value > 0.0; }

/* Everything that a model needs is there; a row with a gap is not scored. */
static int whole(ds_column *const *columns, int count, uint32_t row) {
    for (int at = 0; at < count; at++)
        if (!columns[at]->present[row]) return 0;
    return 1;
}

static ds_column *needed(const char *name) {
    ds_column *column = ds_find(name);
    if (!column) exit(1);
    return column;
}

/* Loans to households: account, term, amount, age. */
static double household(ds_column *const *columns, uint32_t row, int *bad) {
    const ds_column *account = columns[0];
    double odds = -1.332 + 0.389 * ds_number(columns[1], row) / 12.0 + 0.339 * ds_number(columns[2], row) / 10000.0 -
                  0.162 * ds_number(columns[3], row) / 10.0;
    if (ds_text_is(account, row, "... < 0 DM")) odds += 1.076;
    if (ds_text_is(account, row, "0 <= ... < 200 DM")) odds += 0.550;
    if (ds_text_is(account, row, "no checking account")) odds -= 0.945;
    *bad = ds_text_is(columns[4], row, "bad");
    return odds;
}

/* Credit cards: two months' arrears, limit, balance, age. */
static double card(ds_column *const *columns, uint32_t row, int *bad) {
    double first = ds_number(columns[0], row), second = ds_number(columns[1], row), limit = ds_number(columns[2], row);
    *bad = positive(ds_number(columns[5], row));
    return -1.771 + 0.964 * (positive(first) ? first : 0.0) + 0.211 * (positive(second) ? second : 0.0) -
           0.202 * limit / 100000.0 - 0.041 * ds_number(columns[3], row) / limit + 0.087 * ds_number(columns[4], row) / 10.0;
}

int main(void) {
    int64_t lender = 0;
    ds_open();
    int64_t least = ds_parameter("min_group")->integers[0];
    ds_begin();
    while (ds_next_table()) {
        int64_t applicants[BANDS] = {0}, defaults[BANDS] = {0};
        double risk[BANDS] = {0.0};
        int cards = ds_find("LIMIT_BAL") != 0;
        ds_column *columns[6];
        int count = cards ? 6 : 5;
        const char *const wanted[2][6] = {
            {"status_of_existing_checking_account", "duration_in_month", "credit_amount", "age_in_years", "creditability", 0},
            {"PAY_1", "PAY_2", "LIMIT_BAL", "BILL_AMT1", "AGE", "default"},
        };
        for (int at = 0; at < count; at++) columns[at] = needed(wanted[cards][at]);
        lender++;
        while (ds_next_block())
            for (uint32_t row = 0; row < ds_rows; row++) {
                if (!whole(columns, count, row)) continue;
                int bad, band = 0;
                double odds = cards ? card(columns, row, &bad) : household(columns, row, &bad);
                while (band < BANDS - 1 && odds >= edges[band]) band++;
                applicants[band]++;
                defaults[band] += bad;
                risk[band] += 1.0 / (1.0 + exp(-odds));
            }
        for (int band = 0; band < BANDS; band++) {
            if (applicants[band] == 0 || applicants[band] < least) continue;
            ds_put_integer(lender);
            ds_put_text(names[band]);
            ds_put_integer(applicants[band]);
            ds_put_number(risk[band] / (double)applicants[band]);
            ds_put_integer(defaults[band]);
        }
    }
    ds_end();
    return 0;
}
