
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * A message as bytes: between workers, and where it is kept outside of the
 * process (retained messages).
 *
 *     flags u32, received u64, expiry u32, lengths 4 * u32 of
 *     topic, payload, properties, origin
 *     then these, and what is seen instead of the topic
 *
 * The upper half of the flags is the length of the latter, which is a topic
 * name and mostly empty.
 *
 * Called from: route/.  Pure but for the message's allocation.
 */


#include "ngx_mqtt_bus.h"


#define NGX_MQTT_FRAME_QOS       0x03
#define NGX_MQTT_FRAME_RETAIN    0x04
#define NGX_MQTT_FRAME_CLEAN     0x08
#define NGX_MQTT_FRAME_EXPIRY    0x10

#define NGX_MQTT_FRAME_REAL      16     /* bits to shift */


static u_char *ngx_mqtt_frame_take(u_char *p, size_t len, ngx_str_t *value);


u_char *
ngx_mqtt_frame_write_msg_head(u_char *p, ngx_mqtt_msg_t *m)
{
    uint32_t  flags;

    flags = m->qos;

    if (m->retain) {
        flags |= NGX_MQTT_FRAME_RETAIN;
    }

    if (m->clean) {
        flags |= NGX_MQTT_FRAME_CLEAN;
    }

    if (m->has_expiry) {
        flags |= NGX_MQTT_FRAME_EXPIRY;
    }

    flags |= (uint32_t) m->real.len << NGX_MQTT_FRAME_REAL;

    p = ngx_mqtt_frame_write_u32(p, flags);
    p = ngx_mqtt_frame_write_u64(p, m->received);
    p = ngx_mqtt_frame_write_u32(p, m->expiry);
    p = ngx_mqtt_frame_write_u32(p, (uint32_t) m->topic.len);
    p = ngx_mqtt_frame_write_u32(p, (uint32_t) m->payload.len);
    p = ngx_mqtt_frame_write_u32(p, (uint32_t) m->props.len);

    return ngx_mqtt_frame_write_u32(p, (uint32_t) m->origin.len);
}


/* what follows the head, NGX_MQTT_FRAME_MSG_PARTS of them */

void
ngx_mqtt_frame_msg_parts(ngx_str_t *parts, ngx_mqtt_msg_t *m)
{
    parts[0] = m->topic;
    parts[1] = m->payload;
    parts[2] = m->props;
    parts[3] = m->origin;
    parts[4] = m->real;
}


size_t
ngx_mqtt_frame_msg_len(ngx_mqtt_msg_t *m)
{
    return NGX_MQTT_FRAME_MSG_HEAD + m->topic.len + m->payload.len
           + m->props.len + m->origin.len + m->real.len;
}


u_char *
ngx_mqtt_frame_write_msg(u_char *p, ngx_mqtt_msg_t *m)
{
    p = ngx_mqtt_frame_write_msg_head(p, m);

    p = ngx_cpymem(p, m->topic.data, m->topic.len);

    if (m->payload.len) {
        p = ngx_cpymem(p, m->payload.data, m->payload.len);
    }

    if (m->props.len) {
        p = ngx_cpymem(p, m->props.data, m->props.len);
    }

    if (m->origin.len) {
        p = ngx_cpymem(p, m->origin.data, m->origin.len);
    }

    if (m->real.len) {
        p = ngx_cpymem(p, m->real.data, m->real.len);
    }

    return p;
}


ngx_mqtt_msg_t *
ngx_mqtt_frame_read_msg(ngx_mqtt_worker_t *w, ngx_str_t *bytes)
{
    size_t           size;
    u_char          *p, *end;
    uint32_t         flags, expiry, len[5];
    uint64_t         received;
    ngx_uint_t       i;
    ngx_mqtt_msg_t  *m;

    p = bytes->data;
    end = p + bytes->len;

    if (bytes->len < NGX_MQTT_FRAME_MSG_HEAD) {
        return NULL;
    }

    p = ngx_mqtt_frame_read_u32(p, end, &flags);
    p = ngx_mqtt_frame_read_u64(p, end, &received);
    p = ngx_mqtt_frame_read_u32(p, end, &expiry);

    for (i = 0; i < 4; i++) {
        p = ngx_mqtt_frame_read_u32(p, end, &len[i]);
    }

    len[4] = flags >> NGX_MQTT_FRAME_REAL;

    size = (size_t) len[0] + len[1] + len[2] + len[3] + len[4];

    if (size != (size_t) (end - p)) {
        return NULL;
    }

    m = ngx_mqtt_msg_create(w, size);
    if (m == NULL) {
        return NULL;
    }

    ngx_memcpy(ngx_mqtt_msg_data(m), p, size);

    p = ngx_mqtt_msg_data(m);

    p = ngx_mqtt_frame_take(p, len[0], &m->topic);
    p = ngx_mqtt_frame_take(p, len[1], &m->payload);
    p = ngx_mqtt_frame_take(p, len[2], &m->props);
    p = ngx_mqtt_frame_take(p, len[3], &m->origin);
    (void) ngx_mqtt_frame_take(p, len[4], &m->real);

    m->received = received;
    m->expiry = expiry;
    m->qos = flags & NGX_MQTT_FRAME_QOS;
    m->retain = (flags & NGX_MQTT_FRAME_RETAIN) != 0;
    m->clean = (flags & NGX_MQTT_FRAME_CLEAN) != 0;
    m->has_expiry = (flags & NGX_MQTT_FRAME_EXPIRY) != 0;

    return m;
}


static u_char *
ngx_mqtt_frame_take(u_char *p, size_t len, ngx_str_t *value)
{
    value->data = p;
    value->len = len;

    return p + len;
}
