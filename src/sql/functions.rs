//! Which functions of `pg_catalog` are known to only read.

/// Functions, aggregates and window functions of `pg_catalog` that change nothing, take no lock,
/// and give the same answer on a replica that has the same data. Sorted. What is missing counts
/// as unknown, which costs a trip to the primary and nothing else; so doubtful ones (those that
/// run SQL given as text, that depend on the process, the node or the write-ahead log) are out.
#[rustfmt::skip]
static READ_ONLY: &[&str] = &[
    "abbrev", "abs", "acos", "acosd", "acosh", "age", "any_value", "area", "array_agg",
    "array_append", "array_cat", "array_dims", "array_fill", "array_length", "array_lower",
    "array_ndims", "array_position", "array_positions", "array_prepend", "array_remove",
    "array_replace", "array_reverse", "array_sample", "array_shuffle", "array_sort",
    "array_to_json", "array_to_string", "array_to_tsvector", "array_upper", "ascii", "asin",
    "asind", "asinh", "atan", "atan2", "atan2d", "atand", "atanh", "avg", "bit_and", "bit_count",
    "bit_length", "bit_or", "bit_xor", "bool", "bool_and", "bool_or", "bound_box", "box", "bpchar",
    "broadcast", "btrim", "bytea", "cardinality", "casefold", "cbrt", "ceil", "ceiling", "center",
    "char_length", "character_length", "chr", "circle", "clock_timestamp", "col_description",
    "concat", "concat_ws", "convert", "convert_from", "convert_to", "corr", "cos", "cosd", "cosh",
    "cot", "cotd", "count", "covar_pop", "covar_samp", "crc32", "crc32c", "cume_dist",
    "current_database", "current_schema", "current_schemas", "current_setting", "date", "date_add",
    "date_bin", "date_part", "date_subtract", "date_trunc", "datemultirange", "daterange",
    "decode", "degrees", "dense_rank", "diagonal", "diameter", "div", "encode", "enum_first",
    "enum_last", "enum_range", "erf", "erfc", "every", "exp", "extract", "factorial", "family",
    "first_value", "float4", "float8", "floor", "format", "format_type", "gamma", "gcd",
    "gen_random_uuid", "generate_series", "generate_subscripts", "get_bit", "get_byte",
    "has_any_column_privilege", "has_column_privilege", "has_database_privilege",
    "has_function_privilege", "has_schema_privilege", "has_sequence_privilege",
    "has_table_privilege", "has_type_privilege", "hash_array", "hashtext", "hashtextextended",
    "height", "host", "hostmask", "inet_merge", "inet_same_family", "initcap", "int2", "int4",
    "int4multirange", "int4range", "int8", "int8multirange", "int8range", "interval",
    "is_normalized", "isclosed", "isempty", "isfinite", "ishorizontal", "isopen", "isparallel",
    "isperp", "isvertical", "json", "json_agg", "json_array_elements", "json_array_elements_text",
    "json_array_length", "json_build_array", "json_build_object", "json_each", "json_each_text",
    "json_extract_path", "json_extract_path_text", "json_object", "json_object_agg",
    "json_object_agg_strict", "json_object_agg_unique", "json_object_agg_unique_strict",
    "json_object_keys", "json_populate_record", "json_populate_recordset", "json_strip_nulls",
    "json_to_record", "json_to_recordset", "json_typeof", "jsonb", "jsonb_agg", "jsonb_agg_strict",
    "jsonb_array_elements", "jsonb_array_elements_text", "jsonb_array_length", "jsonb_build_array",
    "jsonb_build_object", "jsonb_each", "jsonb_each_text", "jsonb_extract_path",
    "jsonb_extract_path_text", "jsonb_insert", "jsonb_object", "jsonb_object_agg",
    "jsonb_object_agg_strict", "jsonb_object_agg_unique", "jsonb_object_agg_unique_strict",
    "jsonb_object_keys", "jsonb_path_exists", "jsonb_path_exists_tz", "jsonb_path_match",
    "jsonb_path_match_tz", "jsonb_path_query", "jsonb_path_query_array",
    "jsonb_path_query_array_tz", "jsonb_path_query_first", "jsonb_path_query_first_tz",
    "jsonb_path_query_tz", "jsonb_populate_record", "jsonb_populate_record_valid",
    "jsonb_populate_recordset", "jsonb_pretty", "jsonb_set", "jsonb_set_lax", "jsonb_strip_nulls",
    "jsonb_to_record", "jsonb_to_recordset", "jsonb_to_tsvector", "jsonb_typeof", "justify_days",
    "justify_hours", "justify_interval", "lag", "last_value", "lcm", "lead", "left", "length",
    "lgamma", "like_escape", "ln", "log", "log10", "lower", "lower_inc", "lower_inf", "lpad",
    "lseg", "ltrim", "macaddr8_set7bit", "make_date", "make_interval", "make_time",
    "make_timestamp", "make_timestamptz", "masklen", "max", "md5", "min", "min_scale", "mod",
    "mode", "name", "netmask", "network", "normalize", "notlike", "now", "nth_value", "ntile",
    "num_nonnulls", "num_nulls", "numeric", "nummultirange", "numnode", "numrange",
    "obj_description", "octet_length", "overlaps", "overlay", "parse_ident", "path", "pclose",
    "percent_rank", "percentile_cont", "percentile_disc", "pg_char_to_encoding",
    "pg_client_encoding", "pg_collation_for", "pg_collation_is_visible", "pg_column_compression",
    "pg_column_size", "pg_conversion_is_visible", "pg_database_size", "pg_describe_object",
    "pg_encoding_to_char", "pg_function_is_visible", "pg_get_constraintdef", "pg_get_expr",
    "pg_get_function_arguments", "pg_get_function_identity_arguments", "pg_get_function_result",
    "pg_get_functiondef", "pg_get_indexdef", "pg_get_keywords", "pg_get_partkeydef",
    "pg_get_ruledef", "pg_get_serial_sequence", "pg_get_statisticsobjdef", "pg_get_triggerdef",
    "pg_get_userbyid", "pg_get_viewdef", "pg_has_role", "pg_index_column_has_property",
    "pg_index_has_property", "pg_indexam_has_property", "pg_indexes_size", "pg_input_error_info",
    "pg_input_is_valid", "pg_is_other_temp_schema", "pg_opclass_is_visible",
    "pg_operator_is_visible", "pg_opfamily_is_visible", "pg_options_to_table",
    "pg_partition_ancestors", "pg_partition_root", "pg_partition_tree",
    "pg_relation_is_publishable", "pg_relation_size", "pg_size_bytes", "pg_size_pretty",
    "pg_statistics_obj_is_visible", "pg_table_is_visible", "pg_table_size",
    "pg_tablespace_location", "pg_tablespace_size", "pg_timezone_abbrevs", "pg_timezone_names",
    "pg_total_relation_size", "pg_ts_config_is_visible", "pg_ts_dict_is_visible",
    "pg_ts_parser_is_visible", "pg_ts_template_is_visible", "pg_type_is_visible", "pg_typeof",
    "phraseto_tsquery", "pi", "plainto_tsquery", "point", "polygon", "popen", "position", "pow",
    "power", "querytree", "quote_ident", "quote_literal", "quote_nullable", "radians", "radius",
    "random", "random_normal", "range_agg", "range_intersect_agg", "range_merge", "rank",
    "regexp_count", "regexp_instr", "regexp_like", "regexp_match", "regexp_matches",
    "regexp_replace", "regexp_split_to_array", "regexp_split_to_table", "regexp_substr",
    "regr_avgx", "regr_avgy", "regr_count", "regr_intercept", "regr_r2", "regr_slope", "regr_sxx",
    "regr_sxy", "regr_syy", "repeat", "replace", "reverse", "right", "round", "row_number",
    "row_to_json", "rpad", "rtrim", "scale", "set_bit", "set_byte", "set_masklen", "setweight",
    "sha224", "sha256", "sha384", "sha512", "shobj_description", "sign", "similar_escape",
    "similar_to_escape", "sin", "sind", "sinh", "slope", "split_part", "sqrt", "starts_with",
    "statement_timestamp", "stddev", "stddev_pop", "stddev_samp", "string_agg", "string_to_array",
    "string_to_table", "strip", "strpos", "substr", "substring", "sum", "tan", "tand", "tanh",
    "text", "time", "timeofday", "timestamp", "timestamptz", "timezone", "to_ascii", "to_bin",
    "to_char", "to_date", "to_hex", "to_json", "to_jsonb", "to_number", "to_oct", "to_regclass",
    "to_regcollation", "to_regnamespace", "to_regoper", "to_regoperator", "to_regproc",
    "to_regprocedure", "to_regrole", "to_regtype", "to_regtypemod", "to_timestamp", "to_tsquery",
    "to_tsvector", "transaction_timestamp", "translate", "trim_array", "trim_scale", "trunc",
    "ts_debug", "ts_delete", "ts_filter", "ts_headline", "ts_lexize", "ts_parse", "ts_rank",
    "ts_rank_cd", "ts_token_type", "tsmultirange", "tsquery_phrase", "tsrange", "tstzmultirange",
    "tstzrange", "tsvector_to_array", "unicode_assigned", "unicode_version", "unistr", "unnest",
    "upper", "upper_inc", "upper_inf", "uuid_extract_timestamp", "uuid_extract_version", "uuidv4",
    "uuidv7", "var_pop", "var_samp", "varchar", "variance", "version", "websearch_to_tsquery",
    "width", "width_bucket", "xml_is_well_formed", "xml_is_well_formed_content",
    "xml_is_well_formed_document", "xmlagg", "xmlcomment", "xmlconcat", "xmlexists", "xmltext",
    "xpath", "xpath_exists",
];

/// Functions of `pg_catalog` that do more than read but leave nothing behind in the session that
/// another client could see or be bound by. Sorted. Sequence functions are here: what `currval`
/// and `lastval` return in another session is nobody's secret, and nothing else of them stays.
#[rustfmt::skip]
static LEAVES_NOTHING: &[&str] = &[
    "currval", "inet_client_addr", "inet_client_port", "inet_server_addr", "inet_server_port",
    "lastval", "lo_creat", "lo_create", "lo_from_bytea", "lo_get", "lo_put", "lo_unlink", "nextval",
    "pg_advisory_xact_lock", "pg_advisory_xact_lock_shared", "pg_backend_pid", "pg_cancel_backend",
    "pg_conf_load_time", "pg_current_snapshot", "pg_current_wal_flush_lsn",
    "pg_current_wal_insert_lsn", "pg_current_wal_lsn", "pg_current_xact_id",
    "pg_current_xact_id_if_assigned", "pg_get_serial_sequence", "pg_is_in_recovery",
    "pg_is_wal_replay_paused", "pg_last_wal_receive_lsn", "pg_last_wal_replay_lsn",
    "pg_last_xact_replay_timestamp", "pg_notify", "pg_postmaster_start_time", "pg_reload_conf",
    "pg_sleep", "pg_sleep_for", "pg_sleep_until", "pg_stat_reset", "pg_switch_wal",
    "pg_terminate_backend", "pg_try_advisory_xact_lock", "pg_try_advisory_xact_lock_shared",
    "pg_wal_lsn_diff", "random", "random_normal", "setval", "timeofday", "txid_current",
    "txid_current_if_assigned", "txid_current_snapshot", "txid_status", "version",
];

/// True if the function `name` (folded, without schema) of `pg_catalog` leaves nothing behind in
/// the session, whatever else it does.
pub(super) fn leaves_nothing(name: &str) -> bool {
    LEAVES_NOTHING.binary_search(&name).is_ok()
}

/// True if the function `name` (folded, without schema) of `pg_catalog` only reads.
pub(super) fn is_read_only(name: &str) -> bool {
    READ_ONLY.binary_search(&name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_unique() {
        assert!(READ_ONLY.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(LEAVES_NOTHING.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn what_writes_or_locks_is_not_in_the_list() {
        for name in [
            "nextval",
            "setval",
            "set_config",
            "pg_advisory_lock",
            "pg_notify",
            "lo_create",
            "txid_current",
            "pg_current_xact_id",
            "query_to_xml",
            "pg_terminate_backend",
            "pg_is_in_recovery",
            "pg_sleep",
            "currval",
            "lastval",
            "pg_advisory_xact_lock",
            "ts_stat",
            "pg_export_snapshot",
        ] {
            assert!(!is_read_only(name), "{name}");
        }
        assert!(is_read_only("count") && is_read_only("lower") && is_read_only("now"));
    }
}
