
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Topic names, filters, shares, matching and levels, 4.7 and 4.8.2.
 */

/* sources: wire/ngx_mqtt_topic.c */


#include "tap.h"
#include "bytes.h"
#include "ngx_mqtt_wire.h"


typedef struct {
    const char  *cite;
    const char  *text;
    int          valid;
} check_row_t;


typedef struct {
    const char  *filter;
    int          valid;
    const char  *share;
    const char  *rest;
} share_row_t;


typedef struct {
    const char  *cite;
    const char  *filter;
    const char  *topic;
    ngx_uint_t   match;
} match_row_t;


static check_row_t  names[] = {
    { "4.7.1.1", "sport/tennis/player1", 1 },
    { "4.7.3", "/finance", 1 },
    { "4.7.3", "/", 1 },
    { "4.7.3", "Accounts payable", 1 },
    { "4.7.2", "$SYS/uploadToken", 1 },
    { "4.7.3", "a//b/", 1 },
    { "MQTT-4.7.3-1", "", 0 },
    { "MQTT-3.3.2-2", "+", 0 },
    { "MQTT-3.3.2-2", "#", 0 },
    { "MQTT-3.3.2-2", "a/+/b", 0 },
    { "MQTT-3.3.2-2", "a/b/c/d/e/f/g/#", 0 },
    { "MQTT-3.3.2-2", "12345678+", 0 },
    { "MQTT-3.3.2-2", "1234567+9", 0 },
    { "MQTT-3.3.2-2", "#2345678", 0 },
    { "neighbours of the wildcards in ASCII", "\"$*,!%')-", 1 },
    { "bytes with the high bit", "\xa3\xab\xa3\xab\xa3\xab\xa3\xab", 1 }
};


static check_row_t  filters[] = {
    { "4.7.1.2", "sport/tennis/player1/#", 1 },
    { "4.7.1.2", "sport/#", 1 },
    { "4.7.1.2", "#", 1 },
    { "4.7.1.2", "sport/tennis/#", 1 },
    { "4.7.1.3", "+", 1 },
    { "4.7.1.3", "+/tennis/#", 1 },
    { "4.7.1.3", "sport/+/player1", 1 },
    { "4.7.1.3", "/+", 1 },
    { "4.7.1.3", "+/+", 1 },
    { "4.7.1.3", "+/", 1 },
    { "4.7.1.3", "//", 1 },
    { "4.7.2", "$SYS/#", 1 },
    { "MQTT-4.7.1-1", "sport/tennis#", 0 },
    { "MQTT-4.7.1-1", "sport/tennis/#/ranking", 0 },
    { "MQTT-4.7.1-1", "#/", 0 },
    { "MQTT-4.7.1-1", "##", 0 },
    { "MQTT-4.7.1-1", "#+", 0 },
    { "MQTT-4.7.1-1", "a/#b", 0 },
    { "MQTT-4.7.1-2", "sport+", 0 },
    { "MQTT-4.7.1-2", "+sport", 0 },
    { "MQTT-4.7.1-2", "a/b+/c", 0 },
    { "MQTT-4.7.1-2", "a/+b/c", 0 },
    { "MQTT-4.7.1-2", "++", 0 },
    { "MQTT-4.7.1-2", "+#", 0 },
    { "MQTT-4.7.3-1", "", 0 },
    { "no share is asked for", "$share/g/a", 1 },
    { "no share is asked for", "$share/+/a", 1 }
};


static share_row_t  shares[] = {
    { "a/b", 1, "", "a/b" },
    { "$share/g/a/b", 1, "g", "a/b" },
    { "$share/group/#", 1, "group", "#" },
    { "$share/g/+/x", 1, "g", "+/x" },
    { "$share/g//", 1, "g", "/" },
    { "$share/g//a", 1, "g", "/a" },
    { "$share/g/$share/h/a", 1, "g", "$share/h/a" },
    { "$share/$share/a", 1, "$share", "a" },
    { "$SHARE/g/a", 1, "", "$SHARE/g/a" },
    { "$shared/g/a", 1, "", "$shared/g/a" },
    { "$shar", 1, "", "$shar" },
    { "x$share/g/a", 1, "", "x$share/g/a" },
    { "$share", 0, NULL, NULL },
    { "$share/", 0, NULL, NULL },
    { "$share/g", 0, NULL, NULL },
    { "$share/g/", 0, NULL, NULL },
    { "$share//a", 0, NULL, NULL },
    { "$share//", 0, NULL, NULL },
    { "$share/+/a", 0, NULL, NULL },
    { "$share/g+/a", 0, NULL, NULL },
    { "$share/#/a", 0, NULL, NULL },
    { "$share/#", 0, NULL, NULL },
    { "$share/g/a#", 0, NULL, NULL },
    { "$share/g/+a", 0, NULL, NULL },
    { "$share/g/#/a", 0, NULL, NULL }
};


static match_row_t  matches[] = {
    { "4.7.1.2", "sport/tennis/player1/#", "sport/tennis/player1", 1 },
    { "4.7.1.2", "sport/tennis/player1/#", "sport/tennis/player1/ranking",
      1 },
    { "4.7.1.2", "sport/tennis/player1/#",
      "sport/tennis/player1/score/wimbledon", 1 },
    { "4.7.1.2", "sport/tennis/player1/#", "sport/tennis/player10", 0 },
    { "4.7.1.2", "sport/tennis/player1/#", "sport/tennis", 0 },
    { "4.7.1.2", "sport/#", "sport", 1 },
    { "4.7.1.2", "sport/#", "sport/", 1 },
    { "4.7.1.2", "sport/#", "sports", 0 },
    { "4.7.1.2", "sport/#", "spor", 0 },
    { "4.7.1.2", "#", "a", 1 },
    { "4.7.1.2", "#", "/", 1 },
    { "4.7.1.2", "#", "a/b/c", 1 },
    { "4.7.1.3", "sport/tennis/+", "sport/tennis/player1", 1 },
    { "4.7.1.3", "sport/tennis/+", "sport/tennis/player1/ranking", 0 },
    { "4.7.1.3", "sport/+", "sport", 0 },
    { "4.7.1.3", "sport/+", "sport/", 1 },
    { "4.7.1.3", "+/+", "/finance", 1 },
    { "4.7.1.3", "/+", "/finance", 1 },
    { "4.7.1.3", "+", "/finance", 0 },
    { "4.7.1.3", "+", "finance", 1 },
    { "4.7.1.3", "+", "a/b", 0 },
    { "4.7.1.3", "+/b", "a/b", 1 },
    { "4.7.1.3", "+/b", "/b", 1 },
    { "4.7.1.3", "a/+/c", "a/b/c", 1 },
    { "4.7.1.3", "a/+/c", "a//c", 1 },
    { "4.7.1.3", "a/+/c", "a/c", 0 },
    { "4.7.1.3", "a/+/c", "a/b/d", 0 },
    { "4.7.1.3", "a/+/c", "a/b/c/d", 0 },
    { "4.7.1.3", "+/#", "a", 1 },
    { "4.7.1.3", "+/#", "a/b/c", 1 },
    { "4.7.1.3", "a/+/#", "a/b", 1 },
    { "4.7.1.3", "a/+/#", "a", 0 },
    { "4.7.1.3", "+/+/+", "a/b", 0 },
    { "4.7.1.3", "+/+/+", "//", 1 },
    { "4.7.1.3", "+/", "a/", 1 },
    { "4.7.1.3", "+/", "a", 0 },
    { "MQTT-4.7.2-1", "#", "$SYS/x", 0 },
    { "MQTT-4.7.2-1", "+/monitor/Clients", "$SYS/monitor/Clients", 0 },
    { "MQTT-4.7.2-1", "+", "$SYS", 0 },
    { "4.7.2", "$SYS/#", "$SYS/monitor", 1 },
    { "4.7.2", "$SYS/#", "$SYS", 1 },
    { "4.7.2", "$SYS/monitor/+", "$SYS/monitor/Clients", 1 },
    { "4.7.2 only a leading $", "a/+", "a/$b", 1 },
    { "4.7.3", "ACCOUNTS", "Accounts", 0 },
    { "4.7.3", "a/b", "a/b", 1 },
    { "4.7.3", "a/b", "a/b/", 0 },
    { "4.7.3", "a/b/", "a/b", 0 },
    { "4.7.3", "/a", "a", 0 },
    { "4.7.3", "a", "/a", 0 },
    { "MQTT-4.7.3-4 nothing is normalized", "a\xcc\x80", "\xc3\xa0", 0 }
};


#define count(rows)  (sizeof(rows) / sizeof(rows[0]))


/* two strings at a time must be readable up to their last byte only */

static ngx_str_t
string(const char *text)
{
    ngx_str_t  s;

    s.len = strlen(text);
    s.data = malloc(s.len ? s.len : 1);
    memcpy(s.data, text, s.len);

    return s;
}


static int
equal(ngx_str_t *s, const char *text)
{
    return s->len == strlen(text)
           && (s->len == 0 || memcmp(s->data, text, s->len) == 0);
}


static void
test_names(void)
{
    size_t        i;
    ngx_str_t     s;
    check_row_t  *row;

    for (i = 0; i < count(names); i++) {
        row = &names[i];

        s.len = strlen(row->text);
        s.data = bytes_guard((const u_char *) row->text, s.len);

        ok((ngx_mqtt_topic_name_check(&s) == NGX_OK) == row->valid,
           "name \"%s\" %s", row->text, row->cite);
    }
}


static void
test_filters(void)
{
    size_t        i;
    ngx_str_t     s;
    check_row_t  *row;

    for (i = 0; i < count(filters); i++) {
        row = &filters[i];

        s.len = strlen(row->text);
        s.data = bytes_guard((const u_char *) row->text, s.len);

        ok((ngx_mqtt_topic_filter_check(&s, NULL) == NGX_OK) == row->valid,
           "filter \"%s\" %s", row->text, row->cite);

        ok(s.len == strlen(row->text), "filter \"%s\" is left", row->text);

        ok(ngx_mqtt_topic_has_wildcard(&s)
           == (strpbrk(row->text, "+#") != NULL),
           "filter \"%s\": wildcards", row->text);
    }
}


static void
test_shares(void)
{
    size_t        i;
    ngx_int_t     rc;
    ngx_str_t     s, share;
    share_row_t  *row;

    for (i = 0; i < count(shares); i++) {
        row = &shares[i];

        s.len = strlen(row->filter);
        s.data = bytes_guard((const u_char *) row->filter, s.len);

        rc = ngx_mqtt_topic_filter_check(&s, &share);

        if (!row->valid) {
            ok(rc == NGX_ERROR, "share \"%s\" [MQTT-4.8.2-1]",
               row->filter);
            ok(equal(&s, row->filter), "share \"%s\" is left", row->filter);
            continue;
        }

        ok(rc == NGX_OK && equal(&share, row->share) && equal(&s, row->rest),
           "share \"%s\" [MQTT-4.8.2-2]", row->filter);
    }
}


static void
test_matches(void)
{
    size_t        i;
    ngx_str_t     filter, topic;
    match_row_t  *row;

    for (i = 0; i < count(matches); i++) {
        row = &matches[i];

        filter = string(row->filter);
        topic = string(row->topic);

        ok(ngx_mqtt_topic_match(&filter, &topic) == row->match,
           "\"%s\" %s \"%s\" %s", row->filter,
           row->match ? "matches" : "does not match", row->topic, row->cite);

        free(filter.data);
        free(topic.data);
    }
}


static void
test_levels_of(const char *text, ngx_uint_t n, const char *joined)
{
    char        out[64], *p;
    ngx_str_t   s, rest, level;
    ngx_uint_t  i;

    s = string(text);
    rest = s;
    p = out;

    for (i = 0; ngx_mqtt_topic_next_level(&rest, &level); i++) {
        memcpy(p, level.data, level.len);
        p += level.len;
        *p++ = '|';
    }

    *p = '\0';

    ok(i == n && strcmp(out, joined) == 0 && rest.data == NULL,
       "levels of \"%s\"", text);
    ok(ngx_mqtt_topic_levels(&s) == n, "number of levels of \"%s\"", text);

    free(s.data);
}


static void
test_lengths(void)
{
    u_char     *p;
    ngx_str_t   s;

    p = malloc(65536);
    memset(p, 'a', 65536);

    s.data = p;
    s.len = 65535;
    ok(ngx_mqtt_topic_name_check(&s) == NGX_OK, "name of 65535 bytes");
    ok(ngx_mqtt_topic_filter_check(&s, NULL) == NGX_OK,
       "filter of 65535 bytes");

    s.len = 65536;
    ok(ngx_mqtt_topic_name_check(&s) != NGX_OK,
       "name of 65536 bytes [MQTT-4.7.3-3]");
    ok(ngx_mqtt_topic_filter_check(&s, NULL) != NGX_OK,
       "filter of 65536 bytes [MQTT-4.7.3-3]");

    free(p);
}


int
main(void)
{
    test_names();
    test_filters();
    test_shares();
    test_matches();

    test_levels_of("a", 1, "a|");
    test_levels_of("a/b/c", 3, "a|b|c|");
    test_levels_of("a//b", 3, "a||b|");
    test_levels_of("/", 2, "||");
    test_levels_of("/a", 2, "|a|");
    test_levels_of("a/", 2, "a||");
    test_levels_of("+/#", 2, "+|#|");

    test_lengths();

    return done_testing();
}
