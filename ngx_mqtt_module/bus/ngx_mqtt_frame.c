
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Frames of the bus: the fields of their bodies, the queue on the way out and
 * the reassembly on the way in.
 *
 * (1) Frames are appended to blocks and each block is one piece of a writev:
 *     many small frames of a turn cost one copy and one system call.
 * (2) A frame that lies whole in the read buffer is handled in place; only
 *     the rest of an incomplete one is kept, in a block of its final size.
 *
 * Called from: ngx_mqtt_bus.c, and the fields from the rooms above.
 */


#include "ngx_mqtt_bus_int.h"


/* bytes of one socket that are read before others have their turn */

#define NGX_MQTT_FRAME_BUDGET  (4 * NGX_MQTT_BUS_BUFFER)

#define ngx_mqtt_frame_u32(p)                                                 \
    ((uint32_t) (p)[0] << 24 | (uint32_t) (p)[1] << 16                        \
     | (uint32_t) (p)[2] << 8 | (p)[3])


static u_char *ngx_mqtt_frame_room(ngx_mqtt_worker_t *w,
    ngx_mqtt_frame_queue_t *fq, size_t len);
static void ngx_mqtt_frame_free_block(ngx_mqtt_worker_t *w,
    ngx_mqtt_frame_queue_t *fq);
static ngx_int_t ngx_mqtt_frame_split(ngx_mqtt_worker_t *w,
    ngx_mqtt_frame_reader_t *fr, u_char *p, u_char *last,
    ngx_mqtt_frame_pt handler, void *data);
static ngx_int_t ngx_mqtt_frame_finish(ngx_mqtt_worker_t *w,
    ngx_mqtt_frame_reader_t *fr, ngx_mqtt_frame_pt handler, void *data);


ngx_int_t
ngx_mqtt_frame_push(ngx_mqtt_worker_t *w, ngx_mqtt_frame_queue_t *fq,
    ngx_uint_t type, ngx_str_t *parts, ngx_uint_t nparts)
{
    u_char      *p;
    size_t       len;
    ngx_uint_t   i;

    len = 0;

    for (i = 0; i < nparts; i++) {
        len += parts[i].len;
    }

    if (len > NGX_MQTT_FRAME_MAX) {
        ngx_log_error(NGX_LOG_ERR, w->log, 0,
                      "mqtt bus frame of %uz bytes is too large", len);
        return NGX_ERROR;
    }

    p = ngx_mqtt_frame_room(w, fq, NGX_MQTT_FRAME_HEADER + len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    p = ngx_mqtt_frame_write_u32(p, len);
    *p++ = (u_char) type;

    for (i = 0; i < nparts; i++) {

        /* an empty one may be NULL */

        if (parts[i].len) {
            p = ngx_cpymem(p, parts[i].data, parts[i].len);
        }
    }

    return NGX_OK;
}


static u_char *
ngx_mqtt_frame_room(ngx_mqtt_worker_t *w, ngx_mqtt_frame_queue_t *fq,
    size_t len)
{
    u_char                  *p;
    size_t                   size;
    ngx_mqtt_frame_block_t  *fb;

    fb = fq->first ? fq->last : NULL;

    if (fb == NULL || (size_t) (fb->buf.end - fb->buf.last) < len) {

        size = sizeof(ngx_mqtt_frame_block_t)
               + ngx_max(len, NGX_MQTT_BUS_BLOCK);

        fb = ngx_mqtt_alloc(w, size);
        if (fb == NULL) {
            return NULL;
        }

        ngx_memzero(fb, sizeof(ngx_mqtt_frame_block_t));

        ngx_queue_init(&fb->ops);

        fb->size = size;
        fb->chain.buf = &fb->buf;

        fb->buf.start = (u_char *) fb + sizeof(ngx_mqtt_frame_block_t);
        fb->buf.pos = fb->buf.start;
        fb->buf.last = fb->buf.start;
        fb->buf.end = (u_char *) fb + size;
        fb->buf.temporary = 1;

        if (fq->first) {
            fq->last->chain.next = &fb->chain;

        } else {
            fq->first = &fb->chain;
        }

        fq->last = fb;
    }

    p = fb->buf.last;

    fb->buf.last += len;
    fb->frames++;
    fq->size += len;

    return p;
}


static void
ngx_mqtt_frame_free_block(ngx_mqtt_worker_t *w, ngx_mqtt_frame_queue_t *fq)
{
    ngx_queue_t             *q;
    ngx_mqtt_frame_block_t  *fb;

    fb = (ngx_mqtt_frame_block_t *) fq->first;
    fq->first = fb->chain.next;

    while (!ngx_queue_empty(&fb->ops)) {
        q = ngx_queue_head(&fb->ops);
        ngx_queue_remove(q);

        ngx_mqtt_op_post(ngx_queue_data(q, ngx_mqtt_op_t, posted), NGX_OK,
                         NGX_MQTT_SUCCESS);
    }

    ngx_mqtt_free(w, fb, fb->size);
}


ngx_int_t
ngx_mqtt_frame_send(ngx_mqtt_worker_t *w, ngx_mqtt_frame_queue_t *fq,
    ngx_connection_t *c)
{
    off_t                    sent;
    ngx_chain_t             *rest;
    ngx_mqtt_frame_block_t  *fb;

    if (fq->first == NULL) {
        return NGX_OK;
    }

    sent = c->sent;

    rest = c->send_chain(c, fq->first, 0);

    if (rest == NGX_CHAIN_ERROR) {
        return NGX_ERROR;
    }

    fq->size -= (size_t) (c->sent - sent);

    while (fq->first != rest) {
        fb = (ngx_mqtt_frame_block_t *) fq->first;

        ngx_mqtt_count_add(w, NGX_MQTT_STAT_bus_frames_out, fb->frames);
        ngx_mqtt_frame_free_block(w, fq);
    }

    return rest ? NGX_AGAIN : NGX_OK;
}


void
ngx_mqtt_frame_deliver(ngx_mqtt_worker_t *w, ngx_mqtt_frame_queue_t *fq,
    ngx_mqtt_frame_pt handler, void *data)
{
    u_char     *p;
    ngx_buf_t  *b;
    ngx_str_t   body;

    while (fq->first) {
        b = fq->first->buf;

        while (b->pos < b->last) {
            p = b->pos;

            body.data = p + NGX_MQTT_FRAME_HEADER;
            body.len = ngx_mqtt_frame_u32(p);

            b->pos = body.data + body.len;

            (void) handler(data, p[4], &body);
        }

        ngx_mqtt_frame_free_block(w, fq);
    }

    fq->size = 0;
}


ngx_uint_t
ngx_mqtt_frame_drop(ngx_mqtt_worker_t *w, ngx_mqtt_frame_queue_t *fq)
{
    ngx_uint_t  n;

    n = 0;

    while (fq->first) {
        n += ((ngx_mqtt_frame_block_t *) fq->first)->frames;
        ngx_mqtt_frame_free_block(w, fq);
    }

    fq->size = 0;

    return n;
}


ngx_int_t
ngx_mqtt_frame_receive(ngx_mqtt_worker_t *w, ngx_mqtt_frame_reader_t *fr,
    ngx_connection_t *c, u_char *buffer, ngx_mqtt_frame_pt handler, void *data)
{
    u_char     *p;
    size_t      size, total;
    ssize_t     n;
    ngx_int_t   rc;

    total = 0;

    do {
        if (total >= NGX_MQTT_FRAME_BUDGET) {
            return NGX_BUSY;
        }

        if (fr->block) {
            p = fr->block + fr->last;
            size = fr->size - fr->last;

        } else {
            p = ngx_cpymem(buffer, fr->head, fr->head_len);
            size = NGX_MQTT_BUS_BUFFER - fr->head_len;
        }

        n = c->recv(c, p, size);

        if (n == NGX_AGAIN || n == NGX_ERROR) {
            return n;
        }

        if (n == 0) {
            return NGX_DONE;
        }

        total += n;

        if (fr->block == NULL) {
            rc = ngx_mqtt_frame_split(w, fr, buffer, p + n, handler, data);

        } else {
            fr->last += n;
            rc = ngx_mqtt_frame_finish(w, fr, handler, data);
        }

        if (rc != NGX_OK) {
            return NGX_ERROR;
        }

    } while (c->read->ready);

    return NGX_AGAIN;
}


/* whole frames are handled, the rest is kept */

static ngx_int_t
ngx_mqtt_frame_split(ngx_mqtt_worker_t *w, ngx_mqtt_frame_reader_t *fr,
    u_char *p, u_char *last, ngx_mqtt_frame_pt handler, void *data)
{
    ngx_str_t  body;

    while (last - p >= NGX_MQTT_FRAME_HEADER) {
        body.data = p + NGX_MQTT_FRAME_HEADER;
        body.len = ngx_mqtt_frame_u32(p);

        if (body.len > NGX_MQTT_FRAME_MAX) {
            ngx_log_error(NGX_LOG_ALERT, w->log, 0,
                          "mqtt bus frame of %uz bytes is too large",
                          body.len);
            return NGX_ERROR;
        }

        if ((size_t) (last - body.data) < body.len) {
            break;
        }

        if (handler(data, p[4], &body) != NGX_OK) {
            return NGX_ERROR;
        }

        p = body.data + body.len;
    }

    fr->head_len = 0;

    if (last - p < NGX_MQTT_FRAME_HEADER) {
        fr->head_len = last - p;
        ngx_memcpy(fr->head, p, fr->head_len);
        return NGX_OK;
    }

    fr->size = NGX_MQTT_FRAME_HEADER + ngx_mqtt_frame_u32(p);

    fr->block = ngx_mqtt_alloc(w, fr->size);
    if (fr->block == NULL) {
        return NGX_ERROR;
    }

    fr->last = last - p;
    ngx_memcpy(fr->block, p, fr->last);

    return NGX_OK;
}


static ngx_int_t
ngx_mqtt_frame_finish(ngx_mqtt_worker_t *w, ngx_mqtt_frame_reader_t *fr,
    ngx_mqtt_frame_pt handler, void *data)
{
    ngx_int_t  rc;
    ngx_str_t  body;

    if (fr->last < fr->size) {
        return NGX_OK;
    }

    body.data = fr->block + NGX_MQTT_FRAME_HEADER;
    body.len = fr->size - NGX_MQTT_FRAME_HEADER;

    rc = handler(data, fr->block[4], &body);

    ngx_mqtt_frame_reader_free(w, fr);

    return rc;
}


void
ngx_mqtt_frame_reader_free(ngx_mqtt_worker_t *w, ngx_mqtt_frame_reader_t *fr)
{
    ngx_mqtt_free(w, fr->block, fr->size);

    fr->block = NULL;
    fr->head_len = 0;
}


u_char *
ngx_mqtt_frame_write_u32(u_char *p, uint32_t value)
{
    *p++ = (u_char) (value >> 24);
    *p++ = (u_char) (value >> 16);
    *p++ = (u_char) (value >> 8);
    *p++ = (u_char) value;

    return p;
}


u_char *
ngx_mqtt_frame_read_u32(u_char *p, u_char *end, uint32_t *value)
{
    if ((size_t) (end - p) < sizeof(uint32_t)) {
        return NULL;
    }

    *value = ngx_mqtt_frame_u32(p);

    return p + sizeof(uint32_t);
}


u_char *
ngx_mqtt_frame_write_u64(u_char *p, uint64_t value)
{
    p = ngx_mqtt_frame_write_u32(p, (uint32_t) (value >> 32));

    return ngx_mqtt_frame_write_u32(p, (uint32_t) value);
}


u_char *
ngx_mqtt_frame_read_u64(u_char *p, u_char *end, uint64_t *value)
{
    if ((size_t) (end - p) < sizeof(uint64_t)) {
        return NULL;
    }

    *value = (uint64_t) ngx_mqtt_frame_u32(p) << 32
             | ngx_mqtt_frame_u32(p + sizeof(uint32_t));

    return p + sizeof(uint64_t);
}


u_char *
ngx_mqtt_frame_write_str(u_char *p, ngx_str_t *value)
{
    p = ngx_mqtt_frame_write_u32(p, (uint32_t) value->len);

    return ngx_cpymem(p, value->data, value->len);
}


u_char *
ngx_mqtt_frame_read_str(u_char *p, u_char *end, ngx_str_t *value)
{
    uint32_t  len;

    p = ngx_mqtt_frame_read_u32(p, end, &len);

    if (p == NULL || (size_t) (end - p) < len) {
        return NULL;
    }

    value->len = len;
    value->data = p;

    return p + len;
}
