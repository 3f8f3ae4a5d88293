"""The SQL functions and types that a statement may use, by the engine's names.

All are pure: no clock, no randomness, no settings, no sequences, no text run as SQL, nothing that makes rows or lists
out of one value. A function is added when somebody needs it and it is all of that.
"""

from __future__ import annotations

from typing import Final

__all__ = ["AGGREGATES", "FUNCTIONS", "TYPES"]

_AGGREGATES: Final = """
    avg bit_and bit_or bit_xor bool_and bool_or corr count count_if count_star covar_pop covar_samp favg fsum kahan_sum
    kurtosis kurtosis_pop mad max mean median min mode product quantile quantile_cont quantile_disc regr_avgx regr_avgy
    regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy sem skewness stddev stddev_pop stddev_samp
    sum sumkahan var_pop var_samp variance
"""
_WINDOWS: Final = "cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank row_number"
_NUMBERS: Final = """
    + - * / // % ** ^ & | << >> ~ @ abs acos add asin atan atan2 bit_count cbrt ceil ceiling cos cot degrees divide
    even exp factorial fdiv floor fmod gamma gcd greatest isfinite isinf isnan lcm least lgamma ln log log10 log2 mod
    multiply nextafter pi pow power radians round round_even sign signbit sin sqrt subtract tan trunc xor
"""
_TIMES: Final = """
    age century date_add date_diff date_part date_sub date_trunc datediff datepart datesub datetrunc day dayname
    dayofmonth dayofweek dayofyear decade epoch epoch_ms epoch_ns epoch_us era hour isodow isoyear julian last_day
    make_date make_time make_timestamp microsecond millennium millisecond minute month monthname quarter second strftime
    strptime time_bucket to_days to_hours to_microseconds to_milliseconds to_minutes to_months to_quarters to_seconds
    to_weeks to_years week weekday weekofyear year yearweek
"""
_TEXTS: Final = """
    || ~~ !~~ ~~* !~~* ~~~ ascii char_length character_length chr concat concat_ws contains ends_with instr lcase
    left length like_escape lower ltrim not_like_escape position prefix regexp_extract regexp_full_match regexp_matches
    regexp_replace replace reverse right rtrim split_part starts_with strip_accents strlen strpos substr substring
    suffix translate trim ucase upper
"""
_CHOICES: Final = "__between if nullif"
_TYPE_NAMES: Final = """
    BIGINT BOOLEAN DATE DECIMAL DOUBLE FLOAT HUGEINT INTEGER INTERVAL REAL SMALLINT TIME TIMESTAMP TINYINT UBIGINT
    UINTEGER USMALLINT UTINYINT VARCHAR
"""

AGGREGATES: Final = frozenset(_AGGREGATES.split())
FUNCTIONS: Final = frozenset(" ".join((_AGGREGATES, _WINDOWS, _NUMBERS, _TIMES, _TEXTS, _CHOICES)).split())
TYPES: Final = frozenset(_TYPE_NAMES.split())
