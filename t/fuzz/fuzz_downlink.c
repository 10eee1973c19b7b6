
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Headers of a record: pairs of a name and a value, each behind a byte with
 * its length, where 255 is a null value, and names of the contract stand for
 * the first few numbers.
 *
 * (1) What was understood is written with the lengths that were said.
 * (2) It is a topic name, and properties that a decoder takes.
 */

/* sources: mapping/ngx_mqtt_map.c mapping/ngx_mqtt_headers.c */
/* sources: mapping/ngx_mqtt_downlink.c wire/ngx_mqtt_wire_read.c */
/* sources: wire/ngx_mqtt_props.c wire/ngx_mqtt_topic.c wire/ngx_mqtt_utf8.c */


#include <stdlib.h>

#include "ngx_mqtt_map.h"


#define check(condition)  if (!(condition)) { abort(); }

#define HEADERS           64


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static const char  *names[] = {
    "qoslevel", "cleansessionflag", "mqttSecondTopic", "mqttRealTopic",
    "mqttGateway", "mqttRetain", "mqtt5PayloadFormat",
    "mqtt5MsgExpireInterval", "mqtt5ContentType", "mqtt5ResponseTopic",
    "mqtt5CorrelationData", "clientId"
};

#define NAMES             (sizeof(names) / sizeof(names[0]))


static u_char *
take(u_char *p, u_char *end, ngx_str_t *s)
{
    size_t  len;

    s->data = NULL;
    s->len = 0;

    if (p == end) {
        return p;
    }

    len = *p++;

    if (len == 255) {
        return p;
    }

    if (len > (size_t) (end - p)) {
        len = end - p;
    }

    s->data = p;
    s->len = len;

    return p + len;
}


static void
check_topics(ngx_str_t *parent, ngx_mqtt_map_downlink_t *dl)
{
    u_char     *p;
    ngx_str_t   topic;

    topic.data = malloc(dl->topic_len);
    check(topic.data != NULL);

    p = ngx_mqtt_map_write_topic(topic.data, parent, dl);
    topic.len = dl->topic_len;

    check(p == topic.data + topic.len);
    check(ngx_mqtt_utf8_check(&topic) == NGX_OK);
    check(dl->p2p.len || ngx_mqtt_topic_name_check(&topic) == NGX_OK);

    free(topic.data);

    if (dl->real_len == 0) {
        check(ngx_mqtt_map_write_real(NULL, parent, dl) == NULL);
        return;
    }

    topic.data = malloc(dl->real_len);
    check(topic.data != NULL);

    p = ngx_mqtt_map_write_real(topic.data, parent, dl);
    topic.len = dl->real_len;

    check(p == topic.data + topic.len);
    check(ngx_mqtt_utf8_check(&topic) == NGX_OK);
    check(ngx_mqtt_topic_name_check(&topic) == NGX_OK);

    free(topic.data);
}


static void
check_props(ngx_keyval_t *headers, ngx_uint_t n, ngx_mqtt_map_downlink_t *dl)
{
    u_char            *block, *p;
    size_t             head;
    ngx_uint_t         reason;
    ngx_mqtt_props_t   props;

    head = ngx_mqtt_varint_len((uint32_t) dl->props_len);

    block = malloc(head + dl->props_len);
    check(block != NULL);

    p = ngx_mqtt_write_varint(block, (uint32_t) dl->props_len);
    check(p == block + head);

    p = ngx_mqtt_map_write_props(p, headers, n, dl);
    check(p == block + head + dl->props_len);

    check(ngx_mqtt_read_props(block, p, NGX_MQTT_PUBLISH, &props, &reason)
          == p);

    free(block);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u_char                   *copy, *p, *end;
    ngx_int_t                 rc;
    ngx_uint_t                n;
    ngx_keyval_t              headers[HEADERS];
    ngx_mqtt_map_downlink_t   dl;

    static ngx_str_t  parent = ngx_string("command");
    static ngx_str_t  gateway = ngx_string("fleet");

    copy = malloc(size + 1);
    check(copy != NULL);
    memcpy(copy, data, size);

    p = copy;
    end = p + size;

    for (n = 0; n < HEADERS && p != end; n++) {

        if (*p < NAMES) {
            headers[n].key.data = (u_char *) names[*p];
            headers[n].key.len = strlen(names[*p]);
            p++;

        } else {
            p = take(p, end, &headers[n].key);
        }

        p = take(p, end, &headers[n].value);
    }

    rc = ngx_mqtt_map_decode(&parent, &gateway, headers, n, &dl);

    if (rc == NGX_OK) {
        check(dl.qos <= 2);
        check_topics(&parent, &dl);
        check_props(headers, n, &dl);

    } else {
        check(rc == NGX_DONE || (rc == NGX_ERROR && dl.error != NULL));
    }

    free(copy);

    return 0;
}
