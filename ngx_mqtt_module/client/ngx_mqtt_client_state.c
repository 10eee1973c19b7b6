
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The state of a session as it is saved: integers in network order.
 *
 *     version u8, last packet id u16
 *     packet ids received and not released: count u16, u16 ...
 *     uids seen: count u16, { uid, logs left u32 } ...
 *     readers: count u16, { reader u32, number that it is done with u64 } ...
 *     numbers acknowledged out of order: count u32, { reader u32, number u64 }
 *     messages sent and not acknowledged: count u32, and for each
 *         packet id u16, flags u8, numbers u16, { reader u32, number u64 } ...
 *         one without numbers: identifiers u32, u32 ..., length u32, message
 *
 * The cursor in the log itself follows later, and QoS 2 must not come again
 * because of that.
 *
 * A message that is in a log is not in the state, only its numbers are.  One
 * that Redis would have to keep for this session alone, as a retained message
 * on its way, is there as a whole.
 *
 * Called from: ngx_mqtt_client_save.c, ngx_mqtt_client_session.c.
 */


#include "ngx_mqtt_client_session.h"
#include "ngx_mqtt_bus.h"


#define NGX_MQTT_STATE_VERSION   1

#define NGX_MQTT_STATE_QOS       0x03
#define NGX_MQTT_STATE_RETAIN    0x04
#define NGX_MQTT_STATE_RELEASED  0x08
#define NGX_MQTT_STATE_MESSAGE   0x10


static size_t ngx_mqtt_state_len(ngx_mqtt_client_t *mc);
static ngx_uint_t ngx_mqtt_state_readers(ngx_mqtt_client_session_t *ss);
static size_t ngx_mqtt_state_outbound_len(ngx_queue_t *queue);
static u_char *ngx_mqtt_state_write_ids(u_char *p, ngx_mqtt_client_t *mc);
static u_char *ngx_mqtt_state_write_marks(u_char *p,
    ngx_mqtt_client_session_t *ss);
static ngx_uint_t ngx_mqtt_state_is_waiting(ngx_mqtt_client_session_t *ss,
    u_char *uid);
static u_char *ngx_mqtt_state_write_outbound(u_char *p, ngx_mqtt_client_t *mc);
static u_char *ngx_mqtt_state_write_one(u_char *p, ngx_mqtt_outbound_t *ob);
static u_char *ngx_mqtt_state_read_ids(u_char *p, u_char *end,
    ngx_mqtt_client_t *mc);
static u_char *ngx_mqtt_state_read_marks(u_char *p, u_char *end,
    ngx_mqtt_client_t *mc);
static u_char *ngx_mqtt_state_read_readers(u_char *p, u_char *end,
    ngx_mqtt_client_session_t *ss);
static u_char *ngx_mqtt_state_read_one(u_char *p, u_char *end,
    ngx_mqtt_client_t *mc);
static u_char *ngx_mqtt_state_read_message(u_char *p, u_char *end,
    ngx_mqtt_client_t *mc, ngx_mqtt_copy_t *copy, uint16_t packet_id);


/* with numbers, or with its message, or after PUBREC; not what another member
   of a shared subscription may get, unless it is saved to be this one's */

#define ngx_mqtt_state_has(ob)                                                \
    (((ob)->sd == NULL || ((ob)->qos == 2 && (ob)->save))                     \
     && ((ob)->packet_id || (ob)->nrefs == 0))


ngx_int_t
ngx_mqtt_client_state_write(ngx_mqtt_client_t *mc, ngx_str_t *state)
{
    u_char                   *p;
    ngx_mqtt_client_extra_t  *extra;

    extra = mc->extra;

    state->len = ngx_mqtt_state_len(mc);
    state->data = ngx_mqtt_alloc(mc->worker, state->len);

    if (state->data == NULL) {
        return NGX_ERROR;
    }

    p = state->data;
    *p++ = NGX_MQTT_STATE_VERSION;
    p = ngx_mqtt_write_u16(p, (uint16_t) extra->window.last_id);

    p = ngx_mqtt_state_write_ids(p, mc);
    p = ngx_mqtt_state_write_marks(p, mc->session);
    p = ngx_mqtt_state_write_outbound(p, mc);

    /* ids of publishes that are not settled were left out */

    ngx_memzero(p, state->data + state->len - p);

    return NGX_OK;
}


static size_t
ngx_mqtt_state_len(ngx_mqtt_client_t *mc)
{
    ngx_mqtt_client_extra_t    *extra;
    ngx_mqtt_client_session_t  *ss;

    extra = mc->extra;
    ss = mc->session;

    return 1 + 2
           + 2 + extra->received.n * 2
           + 2 + ss->nseen * (NGX_MQTT_LOG_UID + 4)
           + 2 + ngx_mqtt_state_readers(ss) * (4 + 8)
           + 4 + ss->done.n * (4 + 8)
           + 4 + ss->resumed.n * (2 + 1 + 2 + 4 + 8)
           + ngx_mqtt_state_outbound_len(&extra->window.sent)
           + ngx_mqtt_state_outbound_len(&extra->window.waiting);
}


static ngx_uint_t
ngx_mqtt_state_readers(ngx_mqtt_client_session_t *ss)
{
    ngx_uint_t    n;
    ngx_queue_t  *q;

    n = 0;

    for (q = ngx_queue_head(&ss->readers);
         q != ngx_queue_sentinel(&ss->readers);
         q = ngx_queue_next(q))
    {
        n++;
    }

    return n;
}


static size_t
ngx_mqtt_state_outbound_len(ngx_queue_t *queue)
{
    size_t                len;
    ngx_queue_t          *q;
    ngx_mqtt_outbound_t  *ob;

    len = 0;

    for (q = ngx_queue_head(queue);
         q != ngx_queue_sentinel(queue);
         q = ngx_queue_next(q))
    {
        ob = ngx_queue_data(q, ngx_mqtt_outbound_t, queue);

        if (!ngx_mqtt_state_has(ob)) {
            continue;
        }

        len += 2 + 1 + 2 + ob->nrefs * (4 + 8);

        if (ob->nrefs == 0 && ob->msg) {
            len += 4 + ob->nids * 4 + 4 + ngx_mqtt_frame_msg_len(ob->msg);
        }
    }

    return len;
}


static u_char *
ngx_mqtt_state_write_ids(u_char *p, ngx_mqtt_client_t *mc)
{
    u_char             *count;
    ngx_uint_t          i, n;
    ngx_mqtt_id_set_t  *received;

    received = &mc->extra->received;

    count = p;
    p += 2;
    n = 0;

    for (i = 0; i < received->n; i++) {

        /* saved without being durable it would be lost when it comes again */

        if (!ngx_mqtt_ack_is_open(&mc->acks, received->ids[i])) {
            p = ngx_mqtt_write_u16(p, (uint16_t) received->ids[i]);
            n++;
        }
    }

    (void) ngx_mqtt_write_u16(count, (uint16_t) n);

    return p;
}


static u_char *
ngx_mqtt_state_write_marks(u_char *p, ngx_mqtt_client_session_t *ss)
{
    u_char             *count;
    ngx_uint_t          i, n;
    ngx_queue_t        *q;
    ngx_mqtt_reader_t  *reader;

    count = p;
    p += 2;
    n = 0;

    for (i = 0; i < ss->nseen; i++) {

        /* it is not in the state, and is to be new when it is read again */

        if (ngx_mqtt_state_is_waiting(ss, ss->seen[i].uid)) {
            continue;
        }

        p = ngx_cpymem(p, ss->seen[i].uid, NGX_MQTT_LOG_UID);
        p = ngx_mqtt_frame_write_u32(p, ss->seen[i].left);
        n++;
    }

    (void) ngx_mqtt_write_u16(count, (uint16_t) n);

    p = ngx_mqtt_write_u16(p, (uint16_t) ngx_mqtt_state_readers(ss));

    for (q = ngx_queue_head(&ss->readers);
         q != ngx_queue_sentinel(&ss->readers);
         q = ngx_queue_next(q))
    {
        reader = ngx_queue_data(q, ngx_mqtt_reader_t, queue);

        p = ngx_mqtt_frame_write_u32(p, reader->number);
        p = ngx_mqtt_frame_write_u64(p, reader->done);
    }

    p = ngx_mqtt_frame_write_u32(p, (uint32_t) ss->done.n);

    for (i = 0; i < ss->done.n; i++) {
        p = ngx_mqtt_frame_write_u32(p, ss->done.marks[i].reader);
        p = ngx_mqtt_frame_write_u64(p, ss->done.marks[i].number);
    }

    return p;
}


static ngx_uint_t
ngx_mqtt_state_is_waiting(ngx_mqtt_client_session_t *ss, u_char *uid)
{
    ngx_mqtt_outbound_t  *ob;

    ob = ngx_mqtt_client_session_outbound(&ss->client->extra->window.waiting,
                                          uid);

    return ob && !ngx_mqtt_state_has(ob);
}


static u_char *
ngx_mqtt_state_write_outbound(u_char *p, ngx_mqtt_client_t *mc)
{
    u_char                     *count;
    uint32_t                    n;
    ngx_uint_t                  i;
    ngx_queue_t                *q, *queues[2];
    ngx_mqtt_outbound_t        *ob;
    ngx_mqtt_session_mark_t    *mark;
    ngx_mqtt_client_session_t  *ss;

    ss = mc->session;

    count = p;
    p += 4;
    n = 0;

    /* of an earlier connection, and not sent again yet */

    for (i = 0; i < ss->resumed.n; i++) {
        mark = &ss->resumed.marks[i];

        p = ngx_mqtt_write_u16(p, (uint16_t) mark->packet_id);
        *p++ = mark->qos;
        p = ngx_mqtt_write_u16(p, (uint16_t) 1);
        p = ngx_mqtt_frame_write_u32(p, mark->reader);
        p = ngx_mqtt_frame_write_u64(p, mark->number);
        n++;
    }

    queues[0] = &mc->extra->window.sent;
    queues[1] = &mc->extra->window.waiting;

    for (i = 0; i < 2; i++) {

        for (q = ngx_queue_head(queues[i]);
             q != ngx_queue_sentinel(queues[i]);
             q = ngx_queue_next(q))
        {
            ob = ngx_queue_data(q, ngx_mqtt_outbound_t, queue);

            if (ngx_mqtt_state_has(ob)) {
                p = ngx_mqtt_state_write_one(p, ob);
                n++;
            }
        }
    }

    (void) ngx_mqtt_frame_write_u32(count, n);

    return p;
}


static u_char *
ngx_mqtt_state_write_one(u_char *p, ngx_mqtt_outbound_t *ob)
{
    size_t       len;
    ngx_uint_t   i, message;

    message = (ob->nrefs == 0 && ob->msg);

    p = ngx_mqtt_write_u16(p, (uint16_t) ob->packet_id);

    *p++ = (u_char) (ob->qos
                     | (ob->retain ? NGX_MQTT_STATE_RETAIN : 0)
                     | (ob->msg ? 0 : NGX_MQTT_STATE_RELEASED)
                     | (message ? NGX_MQTT_STATE_MESSAGE : 0));

    p = ngx_mqtt_write_u16(p, (uint16_t) ob->nrefs);

    for (i = 0; i < ob->nrefs; i++) {
        p = ngx_mqtt_frame_write_u32(p, ob->refs[i].reader->number);
        p = ngx_mqtt_frame_write_u64(p, ob->refs[i].number);
    }

    if (!message) {
        return p;
    }

    p = ngx_mqtt_frame_write_u32(p, ob->nids);

    for (i = 0; i < ob->nids; i++) {
        p = ngx_mqtt_frame_write_u32(p, ngx_mqtt_outbound_ids(ob)[i]);
    }

    len = ngx_mqtt_frame_msg_len(ob->msg);
    p = ngx_mqtt_frame_write_u32(p, (uint32_t) len);

    return ngx_mqtt_frame_write_msg(p, ob->msg);
}


ngx_int_t
ngx_mqtt_client_state_read(ngx_mqtt_client_t *mc, ngx_str_t *state)
{
    u_char    *p, *end;
    uint32_t   n;

    p = state->data;
    end = p + state->len;

    if (state->len < 3 || *p++ != NGX_MQTT_STATE_VERSION
        || ngx_mqtt_client_get_extra(mc) == NULL)
    {
        return NGX_ERROR;
    }

    p = ngx_mqtt_read_u16(p, end, &mc->extra->window.last_id);

    p = ngx_mqtt_state_read_ids(p, end, mc);

    if (p) {
        p = ngx_mqtt_state_read_marks(p, end, mc);
    }

    if (p) {
        p = ngx_mqtt_frame_read_u32(p, end, &n);
    }

    while (p && n--) {
        p = ngx_mqtt_state_read_one(p, end, mc);
    }

    return p ? NGX_OK : NGX_ERROR;
}


static u_char *
ngx_mqtt_state_read_ids(u_char *p, u_char *end, ngx_mqtt_client_t *mc)
{
    uint16_t  n, id;

    p = ngx_mqtt_read_u16(p, end, &n);

    while (p && n--) {
        p = ngx_mqtt_read_u16(p, end, &id);

        if (p && ngx_mqtt_id_set_add(mc->worker, &mc->extra->received, id)
                 != NGX_OK)
        {
            return NULL;
        }
    }

    return p;
}


static u_char *
ngx_mqtt_state_read_marks(u_char *p, u_char *end, ngx_mqtt_client_t *mc)
{
    uint16_t                    seen;
    uint32_t                    n, left;
    ngx_mqtt_session_mark_t     mark;
    ngx_mqtt_client_session_t  *ss;

    ss = mc->session;

    p = ngx_mqtt_read_u16(p, end, &seen);

    while (p && seen--) {

        if (end - p < NGX_MQTT_LOG_UID + 4) {
            return NULL;
        }

        (void) ngx_mqtt_frame_read_u32(p + NGX_MQTT_LOG_UID, end, &left);

        if (ngx_mqtt_session_seen_add(mc->worker, ss, p, left) != NGX_OK) {
            return NULL;
        }

        p += NGX_MQTT_LOG_UID + 4;
    }

    p = ngx_mqtt_state_read_readers(p, end, ss);

    if (p) {
        p = ngx_mqtt_frame_read_u32(p, end, &n);
    }

    ngx_memzero(&mark, sizeof(ngx_mqtt_session_mark_t));

    while (p && n--) {
        p = ngx_mqtt_frame_read_u32(p, end, &mark.reader);

        if (p) {
            p = ngx_mqtt_frame_read_u64(p, end, &mark.number);
        }

        if (p && ngx_mqtt_session_mark_add(mc->worker, &ss->done, &mark)
                 != NGX_OK)
        {
            return NULL;
        }
    }

    return p;
}


static u_char *
ngx_mqtt_state_read_readers(u_char *p, u_char *end,
    ngx_mqtt_client_session_t *ss)
{
    uint16_t            n;
    uint32_t            number;
    uint64_t            done;
    ngx_mqtt_reader_t  *reader;

    if (p == NULL) {
        return NULL;
    }

    p = ngx_mqtt_read_u16(p, end, &n);

    while (p && n--) {
        p = ngx_mqtt_frame_read_u32(p, end, &number);

        if (p) {
            p = ngx_mqtt_frame_read_u64(p, end, &done);
        }

        if (p == NULL) {
            return NULL;
        }

        /*
         * A reader may have ended since: its number is not given to another
         * one, which would be done with messages that it has not read.
         */

        ss->last_number = ngx_max(ss->last_number, number);

        reader = ngx_mqtt_client_session_reader(ss, number);

        if (reader) {
            reader->done = done;
        }
    }

    return p;
}


static u_char *
ngx_mqtt_state_read_one(u_char *p, u_char *end, ngx_mqtt_client_t *mc)
{
    uint8_t                     flags;
    uint16_t                    i, n;
    ngx_mqtt_copy_t             copy;
    ngx_mqtt_session_mark_t     mark;
    ngx_mqtt_client_session_t  *ss;

    ss = mc->session;

    p = ngx_mqtt_read_u16(p, end, &mark.packet_id);

    if (p == NULL || p == end) {
        return NULL;
    }

    flags = *p++;
    mark.qos = flags & NGX_MQTT_STATE_QOS;

    p = ngx_mqtt_read_u16(p, end, &n);

    for (i = 0; p && i < n; i++) {
        p = ngx_mqtt_frame_read_u32(p, end, &mark.reader);

        if (p) {
            p = ngx_mqtt_frame_read_u64(p, end, &mark.number);
        }

        if (p && ngx_mqtt_session_mark_add(mc->worker, &ss->resumed, &mark)
                 != NGX_OK)
        {
            return NULL;
        }
    }

    if (p == NULL) {
        return NULL;
    }

    if (flags & NGX_MQTT_STATE_RELEASED) {
        return (ngx_mqtt_client_state_released(mc, mark.packet_id) == NGX_OK)
               ? p : NULL;
    }

    if (flags & NGX_MQTT_STATE_MESSAGE) {
        ngx_memzero(&copy, sizeof(ngx_mqtt_copy_t));

        copy.qos = mark.qos;
        copy.retain = (flags & NGX_MQTT_STATE_RETAIN) != 0;

        return ngx_mqtt_state_read_message(p, end, mc, &copy, mark.packet_id);
    }

    return p;
}


static u_char *
ngx_mqtt_state_read_message(u_char *p, u_char *end, ngx_mqtt_client_t *mc,
    ngx_mqtt_copy_t *copy, uint16_t packet_id)
{
    uint32_t              n, i, len, ids[NGX_MQTT_ROUTE_IDS];
    ngx_str_t             bytes;
    ngx_mqtt_msg_t       *m;
    ngx_mqtt_outbound_t  *ob;

    p = ngx_mqtt_frame_read_u32(p, end, &n);

    if (p == NULL || n > NGX_MQTT_ROUTE_IDS) {
        return NULL;
    }

    for (i = 0; p && i < n; i++) {
        p = ngx_mqtt_frame_read_u32(p, end, &ids[i]);
    }

    if (p) {
        p = ngx_mqtt_frame_read_u32(p, end, &len);
    }

    if (p == NULL || (size_t) (end - p) < len) {
        return NULL;
    }

    bytes.data = p;
    bytes.len = len;

    m = ngx_mqtt_frame_read_msg(mc->worker, &bytes);
    if (m == NULL) {
        return NULL;
    }

    copy->ids = ids;
    copy->nids = n;

    ob = ngx_mqtt_outbound_create(mc, m, copy, packet_id);

    ngx_mqtt_msg_unref(m);

    if (ob == NULL) {
        return NULL;
    }

    ob->dup = (packet_id != 0);
    ngx_mqtt_window_restore(mc, ob);

    return p + len;
}


ngx_int_t
ngx_mqtt_client_state_released(ngx_mqtt_client_t *mc, uint16_t packet_id)
{
    ngx_mqtt_copy_t       copy;
    ngx_mqtt_outbound_t  *ob;

    ngx_memzero(&copy, sizeof(ngx_mqtt_copy_t));
    copy.qos = 2;

    ob = ngx_mqtt_outbound_create(mc, NULL, &copy, packet_id);
    if (ob == NULL) {
        return NGX_ERROR;
    }

    ngx_mqtt_window_restore(mc, ob);

    return NGX_OK;
}


ngx_int_t
ngx_mqtt_session_mark_add(ngx_mqtt_worker_t *w, ngx_mqtt_session_marks_t *set,
    ngx_mqtt_session_mark_t *mark)
{
    ngx_uint_t                size;
    ngx_mqtt_session_mark_t  *marks;

    if (set->n == set->size) {
        size = set->size ? set->size * 2 : 4;

        marks = ngx_mqtt_alloc(w, size * sizeof(ngx_mqtt_session_mark_t));
        if (marks == NULL) {
            return NGX_ERROR;
        }

        if (set->n) {
            ngx_memcpy(marks, set->marks,
                       set->n * sizeof(ngx_mqtt_session_mark_t));
        }

        ngx_mqtt_free(w, set->marks,
                      set->size * sizeof(ngx_mqtt_session_mark_t));

        set->marks = marks;
        set->size = size;
    }

    set->marks[set->n++] = *mark;

    return NGX_OK;
}


ngx_mqtt_session_mark_t *
ngx_mqtt_session_mark_find(ngx_mqtt_session_marks_t *set, uint32_t reader,
    uint64_t number)
{
    ngx_uint_t  i;

    for (i = 0; i < set->n; i++) {

        if (set->marks[i].number == number && set->marks[i].reader == reader) {
            return &set->marks[i];
        }
    }

    return NULL;
}


void
ngx_mqtt_session_mark_remove(ngx_mqtt_session_marks_t *set,
    ngx_mqtt_session_mark_t *mark)
{
    *mark = set->marks[--set->n];
}
