
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/* sources: mapping/ngx_mqtt_map.c mapping/ngx_mqtt_headers.c */
/* sources: mapping/ngx_mqtt_downlink.c wire/ngx_mqtt_wire_read.c */
/* sources: wire/ngx_mqtt_props.c wire/ngx_mqtt_topic.c wire/ngx_mqtt_utf8.c */


/*
 * Headers of a record on its way to devices: what is understood, what is not,
 * and what is written of it.
 */


#include <stdio.h>

#include "ngx_mqtt_map.h"


#define HEADERS           16

#define PARENT            "command"


static void test_defaults(void);
static void test_flags(void);
static void test_topics(void);
static void test_p2p(void);
static void test_props(void);
static void test_own(void);
static void test_limits(void);
static void reset(void);
static void header(const char *name, const char *value);
static void bytes(const char *name, const u_char *value, size_t len);
static ngx_int_t decode(void);
static void topic_is(const char *topic, const char *real, const char *name);
static void error_is(const char *error, const char *name);
static void props_are(const char *expected, size_t len, const char *name);
static void ok(int cond, const char *name);


static int                       tests;
static int                       failed;

static ngx_keyval_t              headers[HEADERS];
static ngx_uint_t                nheaders;
static ngx_mqtt_map_downlink_t   dl;

static ngx_str_t                 parent = ngx_string(PARENT);
static ngx_str_t                 gateway = ngx_string("fleet");

static u_char                    out[200000];
static u_char                    big[70000];


int
main(void)
{
    test_defaults();
    test_flags();
    test_topics();
    test_p2p();
    test_props();
    test_own();
    test_limits();

    printf("1..%d\n", tests);

    return failed ? 1 : 0;
}


static void
test_defaults(void)
{
    reset();
    ok(decode() == NGX_OK, "no headers");
    ok(dl.qos == 1 && dl.clean && !dl.retain && !dl.has_expiry, "defaults");
    topic_is(PARENT, "", "the parent alone");
    props_are("", 0, "no properties");

    reset();
    header("qoslevel", "");
    header("cleansessionflag", "");
    header("mqttRetain", "");
    header("mqttSecondTopic", "");
    header("mqttRealTopic", "");
    header("mqtt5MsgExpireInterval", "");
    header("mqtt5PayloadFormat", "");
    header("mqtt5ContentType", "");
    header("mqtt5ResponseTopic", "");
    header("mqtt5CorrelationData", "");
    ok(decode() == NGX_OK, "empty values");
    ok(dl.qos == 1 && !dl.retain && !dl.has_expiry, "are as if not there");
    topic_is(PARENT, "", "of topics too");
    props_are("", 0, "and of properties");

    reset();
    bytes("qoslevel", NULL, 0);
    bytes("mqttSecondTopic", NULL, 0);
    bytes("mqtt5ContentType", NULL, 0);
    ok(decode() == NGX_OK, "null values");
    topic_is(PARENT, "", "are the same");
}


static void
test_flags(void)
{
    reset();
    header("qosLevel", "2");
    header("MQTTRETAIN", "True");
    ok(decode() == NGX_OK, "any case of names");
    ok(dl.qos == 2 && dl.retain, "and of flags");

    reset();
    header("qoslevel", "2");
    header("qoslevel", "0");
    ok(decode() == NGX_OK && dl.qos == 0, "the last one counts");

    reset();
    header("qoslevel", "3");
    error_is("unknown \"qoslevel\"", "QoS 3");

    reset();
    header("qoslevel", "01");
    error_is("unknown \"qoslevel\"", "two digits");

    reset();
    bytes("qoslevel", (u_char *) "\0\1\2\3", 4);
    error_is("unknown \"qoslevel\"", "a number in binary");

    reset();
    header("mqttRetain", "1");
    error_is("unknown \"mqttRetain\"", "a flag that is a number");

    reset();
    header("cleansessionflag", "perhaps");
    ok(decode() == NGX_OK, "a flag that is not asked for");

    reset();
    header("cleansessionflag", "perhaps");
    header("mqttSecondTopic", "/p2p/x");
    error_is("unknown \"cleansessionflag\"", "one that is");
}


static void
test_topics(void)
{
    reset();
    header("mqttSecondTopic", "/engine/rpm");
    ok(decode() == NGX_OK && dl.p2p.len == 0, "sub-levels");
    topic_is(PARENT "/engine/rpm", "", "of the topic");

    reset();
    header("mqttSecondTopic", "engine");
    ok(decode() == NGX_OK, "without slash");
    topic_is(PARENT "/engine", "", "it is added");

    reset();
    header("mqttSecondTopic", "/");
    ok(decode() == NGX_OK, "only a slash");
    topic_is(PARENT "/", "", "is a level");

    reset();
    header("mqttSecondTopic", "/a");
    header("mqttRealTopic", "/b");
    ok(decode() == NGX_OK, "real sub-levels");
    topic_is(PARENT "/a", PARENT "/b", "stand under the parent");

    reset();
    header("mqttRealTopic", "b/c");
    ok(decode() == NGX_OK, "a real topic");
    topic_is(PARENT, "b/c", "is the whole of it");

    reset();
    header("mqttSecondTopic", "/a/+");
    error_is("\"mqttSecondTopic\" has a wildcard", "+");

    reset();
    header("mqttSecondTopic", "#");
    error_is("\"mqttSecondTopic\" has a wildcard", "#");

    reset();
    header("mqttSecondTopic", "/\xc3");
    error_is("\"mqttSecondTopic\" is not UTF-8", "half a character");

    reset();
    bytes("mqttSecondTopic", (u_char *) "/a\0b", 4);
    error_is("\"mqttSecondTopic\" is not UTF-8", "a zero");

    reset();
    header("mqttRealTopic", "a/#");
    error_is("\"mqttRealTopic\" has a wildcard", "real #");

    reset();
    header("mqttRealTopic", "\xed\xa0\x80");
    error_is("\"mqttRealTopic\" is not UTF-8", "a surrogate");
}


static void
test_p2p(void)
{
    reset();
    header("mqttSecondTopic", "/p2p/GID_a@@@b/c");
    header("cleansessionflag", "FALSE");
    ok(decode() == NGX_OK && !dl.clean, "P2P");
    ok(dl.p2p.len == 11 && memcmp(dl.p2p.data, "GID_a@@@b/c", 11) == 0,
       "the id is everything behind it");
    topic_is(PARENT "/p2p/GID_a@@@b/c", "", "the topic");

    reset();
    header("mqttSecondTopic", "p2p/x");
    ok(decode() == NGX_OK && dl.clean && dl.p2p.len == 1, "no slash");
    topic_is(PARENT "/p2p/x", "", "the same topic");

    reset();
    header("mqttSecondTopic", "/p2p//");
    ok(decode() == NGX_OK && dl.p2p.len == 1 && dl.p2p.data[0] == '/',
       "a slash is an id");

    reset();
    header("mqttSecondTopic", "/p2p/");
    ok(decode() == NGX_OK && dl.p2p.len == 0, "no id, no P2P");

    reset();
    header("mqttSecondTopic", "/p2p");
    ok(decode() == NGX_OK && dl.p2p.len == 0, "an ordinary level");

    reset();
    header("mqttSecondTopic", "/P2P/x");
    ok(decode() == NGX_OK && dl.p2p.len == 0, "topics have a case");

    reset();
    header("mqttSecondTopic", "/p2p/a+b");
    error_is("\"mqttSecondTopic\" has a wildcard", "no topic for this id");

    reset();
    header("mqttSecondTopic", "/p2p/a+b");
    header("mqttRealTopic", "/for/you");
    ok(decode() == NGX_OK && dl.p2p.len == 3, "but with a name of its own");
}


static void
test_props(void)
{
    reset();
    header("mqtt5PayloadFormat", "1");
    header("mqtt5MsgExpireInterval", "4294967295");
    header("unit", "rpm");
    header("mqtt5ContentType", "text");
    header("mqtt5ResponseTopic", "a/b");
    bytes("mqtt5CorrelationData", (u_char *) "\0\xff", 2);
    header("unit", "1/min");
    header("clientId", "forged");
    bytes("binary", (u_char *) "\xfe\xff", 2);
    header("\xff", "x");
    header("", "");
    ok(decode() == NGX_OK, "all properties");
    ok(dl.has_expiry && dl.expiry == 4294967295u, "expiry");

    props_are("\x01\x01" "\x03\x00\x04text" "\x08\x00\x03" "a/b"
              "\x09\x00\x02\x00\xff"
              "\x26\x00\x04unit\x00\x03rpm"
              "\x26\x00\x04unit\x00\x05" "1/min"
              "\x26\x00\x00\x00\x00",
              2 + 7 + 6 + 5 + 12 + 14 + 5, "as they stand in a PUBLISH");

    reset();
    header("mqtt5MsgExpireInterval", "4294967296");
    error_is("invalid \"mqtt5MsgExpireInterval\"", "too long");

    reset();
    header("mqtt5MsgExpireInterval", "-1");
    error_is("invalid \"mqtt5MsgExpireInterval\"", "negative");

    reset();
    header("mqtt5PayloadFormat", "2");
    error_is("invalid \"mqtt5PayloadFormat\"", "format");

    reset();
    header("mqtt5ContentType", "\xff");
    error_is("invalid \"mqtt5ContentType\"", "content type");

    reset();
    header("mqtt5ResponseTopic", "a/+");
    error_is("invalid \"mqtt5ResponseTopic\"", "response topic");
}


static void
test_own(void)
{
    reset();
    header("mqttGateway", "fleet");
    header("qoslevel", "bad");
    ok(decode() == NGX_DONE, "our own record");

    reset();
    header("MqttGateway", "fleet");
    ok(decode() == NGX_DONE, "in any case");

    reset();
    header("mqttGateway", "fleet2");
    ok(decode() == NGX_OK, "that of another gateway");
    props_are("", 0, "its name is no property");
}


static void
test_limits(void)
{
    memset(big, 'x', sizeof(big));

    reset();
    bytes("mqttSecondTopic", big, 65535 - sizeof(PARENT));
    ok(decode() == NGX_OK && dl.topic_len == 65535, "the longest topic");

    reset();
    bytes("mqttSecondTopic", big, 65536 - sizeof(PARENT));
    error_is("\"mqttSecondTopic\" is too long", "one more");

    big[0] = '/';

    reset();
    bytes("mqttRealTopic", big, 65535);
    error_is("\"mqttRealTopic\" is too long", "with the parent");

    reset();
    bytes("user", big, 65535);
    ok(decode() == NGX_OK && dl.props_len == 65535 + 9, "the longest value");

    reset();
    bytes("user", big, 65536);
    ok(decode() == NGX_OK && dl.props_len == 0, "no property");

    reset();
    bytes("mqtt5CorrelationData", big, 65536);
    error_is("invalid \"mqtt5CorrelationData\"", "nor such data");
}


static void
reset(void)
{
    nheaders = 0;
}


static void
header(const char *name, const char *value)
{
    bytes(name, (const u_char *) value, strlen(value));
}


static void
bytes(const char *name, const u_char *value, size_t len)
{
    headers[nheaders].key.data = (u_char *) name;
    headers[nheaders].key.len = strlen(name);
    headers[nheaders].value.data = (u_char *) value;
    headers[nheaders].value.len = len;
    nheaders++;
}


static ngx_int_t
decode(void)
{
    return ngx_mqtt_map_decode(&parent, &gateway, headers, nheaders, &dl);
}


static void
topic_is(const char *topic, const char *real, const char *name)
{
    u_char  *p;

    p = ngx_mqtt_map_write_topic(out, &parent, &dl);

    ok((size_t) (p - out) == dl.topic_len && dl.topic_len == strlen(topic)
       && memcmp(out, topic, dl.topic_len) == 0, name);

    p = ngx_mqtt_map_write_real(out, &parent, &dl);

    ok((size_t) (p - out) == dl.real_len && dl.real_len == strlen(real)
       && memcmp(out, real, dl.real_len) == 0, name);
}


static void
error_is(const char *error, const char *name)
{
    ok(decode() == NGX_ERROR && strcmp(dl.error, error) == 0, name);
}


static void
props_are(const char *expected, size_t len, const char *name)
{
    u_char  *p;

    p = ngx_mqtt_map_write_props(out, headers, nheaders, &dl);

    ok((size_t) (p - out) == dl.props_len && dl.props_len == len
       && memcmp(out, expected, len) == 0, name);
}


static void
ok(int cond, const char *name)
{
    tests++;

    if (!cond) {
        failed = 1;
    }

    printf("%sok %d - %s\n", cond ? "" : "not ", tests, name);
}
