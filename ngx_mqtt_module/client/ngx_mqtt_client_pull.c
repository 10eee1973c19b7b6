
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Messages of a session that stand in logs: pushed when they come, or read
 * from the log when there is room.
 *
 *     push -> next to what was read, and room? -> window
 *          -> else: "end" is moved
 *
 *     room -> a page of each log that is behind -> merged by the time of
 *             receipt -> replayed as if they had just come -> window
 *
 * Called from: routes (take), whatever makes room, Redis replies.
 */


#include "ngx_mqtt_client_session.h"


#define NGX_MQTT_PULL_MESSAGES  64          /* of a page */
#define NGX_MQTT_PULL_SIZE      65536       /* bytes of all pages, about */
#define NGX_MQTT_PULL_MIN       4096        /* of one page */


/* there is more, and nothing of it was read so far */

#define ngx_mqtt_pull_is_behind(reader)                                       \
    ((reader)->attached && (reader)->npulled == 0                             \
     && (reader)->end > (reader)->read)


/* a message that was read and is to be replayed */

typedef struct {
    ngx_queue_t               queue;        /* in session->page */
    ngx_mqtt_reader_t        *reader;
    ngx_mqtt_msg_t           *msg;
    uint64_t                  number;
    u_char                    uid[NGX_MQTT_LOG_UID];
    ngx_uint_t                several;
} ngx_mqtt_pulled_t;


static ngx_uint_t ngx_mqtt_pull_take_refs(ngx_mqtt_client_t *mc,
    ngx_mqtt_copy_t *copy);
static ngx_int_t ngx_mqtt_pull_is_new(ngx_mqtt_client_t *mc,
    ngx_mqtt_copy_t *copy);
static void ngx_mqtt_pull_passed(ngx_mqtt_client_t *mc,
    ngx_mqtt_copy_t *copy);
static ngx_mqtt_outbound_t *ngx_mqtt_pull_outbound(ngx_mqtt_client_t *mc,
    u_char *uid);
static ngx_mqtt_session_seen_t *ngx_mqtt_pull_seen(
    ngx_mqtt_client_session_t *ss, u_char *uid);
static ngx_int_t ngx_mqtt_pull_read(ngx_mqtt_client_t *mc,
    ngx_mqtt_reader_t *reader, ngx_uint_t max, size_t size);
static void ngx_mqtt_pull_replied(ngx_mqtt_op_t *op);
static void ngx_mqtt_pull_page(ngx_mqtt_reader_t *reader, void *result);
static void ngx_mqtt_pull_failed(ngx_mqtt_reader_t *reader, ngx_uint_t reason);
static void ngx_mqtt_pull_lost(ngx_mqtt_reader_t *reader);
static ngx_int_t ngx_mqtt_pull_add(ngx_mqtt_reader_t *reader,
    ngx_mqtt_log_page_t *page, ngx_uint_t i);
static void ngx_mqtt_pull_replay(ngx_mqtt_client_t *mc);
static ngx_uint_t ngx_mqtt_pulled_is_older(ngx_mqtt_pulled_t *one,
    ngx_mqtt_pulled_t *two);
static ngx_uint_t ngx_mqtt_pull_behind(ngx_mqtt_client_session_t *ss);
static ngx_mqtt_pulled_t *ngx_mqtt_pull_next(ngx_mqtt_client_session_t *ss);
static void ngx_mqtt_pull_deliver(ngx_mqtt_client_t *mc,
    ngx_mqtt_pulled_t *pulled);
static ngx_int_t ngx_mqtt_pull_resume(ngx_mqtt_client_t *mc,
    ngx_mqtt_session_mark_t *mark, u_char *uid);
static void ngx_mqtt_pulled_free(ngx_mqtt_client_t *mc,
    ngx_mqtt_pulled_t *pulled);


ngx_int_t
ngx_mqtt_client_session_take(ngx_mqtt_client_t *mc, ngx_mqtt_msg_t *m,
    ngx_mqtt_copy_t *copy)
{
    ngx_uint_t                  i;
    ngx_mqtt_client_session_t  *ss;

    ss = mc->session;

    if (ss->replaying) {
        return ngx_mqtt_pull_is_new(mc, copy);
    }

    if (ngx_mqtt_pull_take_refs(mc, copy) == 0) {
        ngx_mqtt_client_session_pull(mc);
        return NGX_DECLINED;
    }

    for (i = 0; i < copy->nrefs; i++) {
        copy->refs[i].reader->read = copy->refs[i].number;
        copy->refs[i].reader->end = copy->refs[i].number;
    }

    return ngx_mqtt_pull_is_new(mc, copy);
}


/*
 * All of them if all come next to what was read.  Otherwise none, and "end" is
 * moved: a log that is behind has messages which come before this one.
 */

static ngx_uint_t
ngx_mqtt_pull_take_refs(ngx_mqtt_client_t *mc, ngx_mqtt_copy_t *copy)
{
    ngx_uint_t                  i, n, room;
    ngx_mqtt_reader_t          *reader;
    ngx_mqtt_log_ref_t         *ref;
    ngx_mqtt_client_session_t  *ss;

    ss = mc->session;
    n = 0;

    /* what is read from other logs came before this one */

    room = ss->ready && !ss->pulling && ngx_queue_empty(&ss->page)
           && ngx_mqtt_client_has_room(mc, 1)
           && ngx_mqtt_pull_behind(ss) == 0;

    for (i = 0; i < copy->nrefs; i++) {
        ref = &copy->refs[i];
        reader = ref->reader;

        n += (room && reader->attached && reader->op == NULL
              && reader->end == reader->read
              && ref->number == reader->read + 1);
    }

    if (n == copy->nrefs) {
        return n;
    }

    for (i = 0; i < copy->nrefs; i++) {
        ref = &copy->refs[i];
        reader = ref->reader;

        reader->end = ngx_max(reader->end, ref->number);
        reader->pushed = ngx_max(reader->pushed, ref->number);
    }

    return 0;
}


/* a message that is in several logs of the session is taken from the first */

static ngx_int_t
ngx_mqtt_pull_is_new(ngx_mqtt_client_t *mc, ngx_mqtt_copy_t *copy)
{
    ngx_uint_t                  left;
    ngx_mqtt_session_seen_t    *seen;
    ngx_mqtt_client_session_t  *ss;

    ss = mc->session;

    if (copy->uid == NULL || ss->again) {
        return NGX_OK;
    }

    seen = ngx_mqtt_pull_seen(ss, copy->uid);

    if (seen) {

        if (seen->left <= copy->nrefs) {
            ss->nseen--;
            ngx_memmove(seen, seen + 1,
                        (u_char *) &ss->seen[ss->nseen] - (u_char *) seen);

        } else {
            seen->left -= (uint32_t) copy->nrefs;
        }

        ngx_mqtt_pull_passed(mc, copy);
        ngx_mqtt_client_save_later(mc);

        return NGX_DECLINED;
    }

    left = (copy->readers > copy->nrefs) ? copy->readers - copy->nrefs : 0;

    if (left
        && ngx_mqtt_session_seen_add(mc->worker, ss, copy->uid, left)
           != NGX_OK)
    {
        ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);
        return NGX_DECLINED;
    }

    return NGX_OK;
}


/*
 * An unacknowledged message before it makes the log bring it again: it is then
 * known to be the one that is in flight, or done with.
 */

static void
ngx_mqtt_pull_passed(ngx_mqtt_client_t *mc, ngx_mqtt_copy_t *copy)
{
    ngx_uint_t            i;
    ngx_mqtt_outbound_t  *ob;

    ob = mc->extra ? ngx_mqtt_pull_outbound(mc, copy->uid) : NULL;

    for (i = 0; i < copy->nrefs; i++) {

        if (ob && ob->nrefs < ob->size) {
            ob->refs[ob->nrefs++] = copy->refs[i];

        } else if (ngx_mqtt_client_session_done(mc, &copy->refs[i])
                   != NGX_OK)
        {
            return;
        }
    }
}


/* NULL: it was received, or was never to be sent */

static ngx_mqtt_outbound_t *
ngx_mqtt_pull_outbound(ngx_mqtt_client_t *mc, u_char *uid)
{
    ngx_mqtt_outbound_t  *ob;

    ob = ngx_mqtt_client_session_outbound(&mc->extra->window.waiting, uid);

    if (ob == NULL) {
        ob = ngx_mqtt_client_session_outbound(&mc->extra->window.sent, uid);
    }

    return (ob && ob->msg) ? ob : NULL;
}


ngx_mqtt_outbound_t *
ngx_mqtt_client_session_outbound(ngx_queue_t *queue, u_char *uid)
{
    ngx_queue_t          *q;
    ngx_mqtt_outbound_t  *ob;

    for (q = ngx_queue_last(queue);
         q != ngx_queue_sentinel(queue);
         q = ngx_queue_prev(q))
    {
        ob = ngx_queue_data(q, ngx_mqtt_outbound_t, queue);

        if (ob->several
            && ngx_memcmp(ngx_mqtt_outbound_uid(ob), uid, NGX_MQTT_LOG_UID)
               == 0)
        {
            return ob;
        }
    }

    return NULL;
}


static ngx_mqtt_session_seen_t *
ngx_mqtt_pull_seen(ngx_mqtt_client_session_t *ss, u_char *uid)
{
    ngx_uint_t  i;

    for (i = 0; i < ss->nseen; i++) {

        if (ngx_memcmp(ss->seen[i].uid, uid, NGX_MQTT_LOG_UID) == 0) {
            return &ss->seen[i];
        }
    }

    return NULL;
}


ngx_int_t
ngx_mqtt_session_seen_add(ngx_mqtt_worker_t *w, ngx_mqtt_client_session_t *ss,
    u_char *uid, ngx_uint_t left)
{
    if (ss->seen == NULL) {
        ss->seen = ngx_mqtt_alloc(w, NGX_MQTT_SESSION_SEEN
                                     * sizeof(ngx_mqtt_session_seen_t));
        if (ss->seen == NULL) {
            return NGX_ERROR;
        }
    }

    /* the oldest are those that a log will never bring */

    if (ss->nseen == NGX_MQTT_SESSION_SEEN) {
        ss->nseen--;
        ngx_memmove(ss->seen, ss->seen + 1,
                    ss->nseen * sizeof(ngx_mqtt_session_seen_t));
    }

    ngx_memcpy(ss->seen[ss->nseen].uid, uid, NGX_MQTT_LOG_UID);
    ss->seen[ss->nseen].left = (uint32_t) left;
    ss->nseen++;

    return NGX_OK;
}


void
ngx_mqtt_client_session_pull(ngx_mqtt_client_t *mc)
{
    size_t                      size;
    ngx_uint_t                  max, behind;
    ngx_queue_t                *q;
    ngx_mqtt_reader_t          *reader;
    ngx_mqtt_client_session_t  *ss;

    ss = mc->session;

    if (!ss->ready || ss->pulling || ss->replaying
        || !ngx_mqtt_client_has_room(mc, 1))
    {
        return;
    }

    behind = ngx_mqtt_pull_behind(ss);

    if (behind == 0) {

        if (!ngx_queue_empty(&ss->page)) {
            ngx_mqtt_pull_replay(mc);
        }

        return;
    }

    max = ngx_min(ngx_mqtt_window_room(mc), NGX_MQTT_PULL_MESSAGES);
    size = ngx_max(NGX_MQTT_PULL_SIZE / behind, NGX_MQTT_PULL_MIN);

    for (q = ngx_queue_head(&ss->readers);
         q != ngx_queue_sentinel(&ss->readers);
         q = ngx_queue_next(q))
    {
        reader = ngx_queue_data(q, ngx_mqtt_reader_t, queue);

        if (ngx_mqtt_pull_is_behind(reader)
            && ngx_mqtt_pull_read(mc, reader, max, size) != NGX_OK)
        {
            ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);
            return;
        }
    }
}


/* as if the log reached further than it is known to */

void
ngx_mqtt_client_session_recheck(ngx_mqtt_subscriber_t *subscriber)
{
    ngx_queue_t                *q;
    ngx_mqtt_client_t          *mc;
    ngx_mqtt_reader_t          *reader;
    ngx_mqtt_client_session_t  *ss;

    mc = ngx_mqtt_subscriber_client(subscriber);

    if (mc->closing || mc->session == NULL) {
        return;
    }

    ss = mc->session;

    for (q = ngx_queue_head(&ss->readers);
         q != ngx_queue_sentinel(&ss->readers);
         q = ngx_queue_next(q))
    {
        reader = ngx_queue_data(q, ngx_mqtt_reader_t, queue);

        if (reader->attached && reader->op == NULL
            && reader->end == reader->read)
        {
            reader->end = reader->read + 1;
        }
    }

    ngx_mqtt_client_session_pull(mc);
}


static ngx_int_t
ngx_mqtt_pull_read(ngx_mqtt_client_t *mc, ngx_mqtt_reader_t *reader,
    ngx_uint_t max, size_t size)
{
    ngx_mqtt_op_t        *op;
    ngx_mqtt_log_read_t   read;

    op = ngx_mqtt_op_get(mc->worker, &mc->ops, ngx_mqtt_pull_replied, reader);

    if (op == NULL) {
        return NGX_ERROR;
    }

    reader->op = op;
    reader->pushed = 0;
    mc->session->pulling++;

    if (reader->sub == NULL) {
        ngx_mqtt_log_p2p_read(mc->worker, &mc->node.key, reader->read, max,
                              size, op);
        return NGX_OK;
    }

    read.client_id = &mc->node.key;
    read.epoch = mc->epoch;
    read.from = reader->read;
    read.max = max;
    read.size = size;

    ngx_mqtt_log_read(mc->worker, &reader->sub->filter->node.key, &read, op);

    return NGX_OK;
}


static void
ngx_mqtt_pull_replied(ngx_mqtt_op_t *op)
{
    ngx_mqtt_client_t  *mc;
    ngx_mqtt_reader_t  *reader;

    reader = op->data;
    mc = reader->client;

    reader->op = NULL;
    mc->session->pulling--;

    if (op->rc == NGX_OK) {
        ngx_mqtt_pull_page(reader, op->result);

    } else {
        ngx_mqtt_pull_failed(reader, op->reason);
    }

    if (mc->session->pulling == 0 && !mc->closing) {
        ngx_mqtt_pull_replay(mc);
    }
}


static void
ngx_mqtt_pull_page(ngx_mqtt_reader_t *reader, void *result)
{
    ngx_uint_t           i;
    ngx_mqtt_worker_t   *w;
    ngx_mqtt_log_page_t  page;

    w = reader->client->worker;

    if (ngx_mqtt_log_page(w, result, &page) != NGX_OK) {
        ngx_mqtt_pull_failed(reader, NGX_MQTT_UNSPECIFIED_ERROR);
        return;
    }

    if (page.last == NGX_MQTT_LOG_STALE) {

        /* what is missing has been read by the next owner */

        ngx_mqtt_client_close(reader->client, NGX_MQTT_SESSION_TAKEN_OVER);
        return;
    }

    if (reader->sub == NULL) {
        ngx_mqtt_client_inbox_page(reader, &page);

    } else if (page.last < (int64_t) reader->read) {
        ngx_mqtt_pull_lost(reader);
        return;

    } else if (page.first > reader->read + 1) {
        ngx_mqtt_count_add(w, NGX_MQTT_STAT_messages_discarded,
                           page.first - reader->read - 1);

        reader->read = page.first - 1;
    }

    /* it may have been read before what was pushed meanwhile was there */

    if (reader->sub) {
        reader->end = ngx_max((uint64_t) page.last, reader->pushed);
    }

    for (i = 0; i < page.n; i++) {

        if (ngx_mqtt_pull_add(reader, &page, i) != NGX_OK) {
            ngx_mqtt_client_abort(reader->client, NGX_MQTT_UNSPECIFIED_ERROR);
            return;
        }
    }
}


/* nothing would make it be read again: who comes back reads all of it */

static void
ngx_mqtt_pull_failed(ngx_mqtt_reader_t *reader, ngx_uint_t reason)
{
    ngx_mqtt_client_t  *mc;

    mc = reader->client;

    if (mc->closing) {
        return;
    }

    ngx_log_error(NGX_LOG_INFO, mc->connection->log, 0,
                  "messages could not be read: %s",
                  ngx_mqtt_reason_name(reason));

    ngx_mqtt_client_close(mc, reason);
}


/* Redis has lost the log, and maybe has a new one: it starts again there */

static void
ngx_mqtt_pull_lost(ngx_mqtt_reader_t *reader)
{
    ngx_mqtt_client_t  *mc;

    mc = reader->client;

    ngx_log_error(NGX_LOG_ERR, mc->connection->log, 0,
                  "log of \"%V\" was lost by Redis",
                  &reader->sub->filter->node.key);

    ngx_mqtt_client_close(mc, NGX_MQTT_UNSPECIFIED_ERROR);
}


static ngx_int_t
ngx_mqtt_pull_add(ngx_mqtt_reader_t *reader, ngx_mqtt_log_page_t *page,
    ngx_uint_t i)
{
    ngx_mqtt_client_t  *mc;
    ngx_mqtt_pulled_t  *pulled;

    mc = reader->client;

    pulled = ngx_mqtt_alloc(mc->worker, sizeof(ngx_mqtt_pulled_t));
    if (pulled == NULL) {
        return NGX_ERROR;
    }

    pulled->reader = reader;
    pulled->number = page->first + i;
    pulled->msg = ngx_mqtt_log_page_msg(mc->worker, page, i, pulled->uid,
                                        &pulled->several);

    if (pulled->msg == NULL) {
        ngx_log_error(NGX_LOG_ERR, mc->connection->log, 0,
                      "message %uL of the log of \"%V\" was not understood",
                      pulled->number,
                      reader->sub ? &reader->sub->filter->node.key
                                  : &mc->node.key);
    }

    ngx_queue_insert_tail(&mc->session->page, &pulled->queue);
    reader->npulled++;

    return NGX_OK;
}


/* the next page of a log may have what comes before the rest of the others */

static void
ngx_mqtt_pull_replay(ngx_mqtt_client_t *mc)
{
    ngx_mqtt_pulled_t          *pulled;
    ngx_mqtt_client_session_t  *ss;

    ss = mc->session;
    ss->replaying = 1;

    while (!ngx_queue_empty(&ss->page) && ngx_mqtt_pull_behind(ss) == 0
           && !mc->closing)
    {
        pulled = ngx_mqtt_pull_next(ss);

        ngx_queue_remove(&pulled->queue);

        pulled->reader->npulled--;
        pulled->reader->read = pulled->number;

        if (pulled->msg) {
            ngx_mqtt_pull_deliver(mc, pulled);
        }

        ngx_mqtt_pulled_free(mc, pulled);
    }

    ss->replaying = 0;

    if (!mc->closing) {
        ngx_mqtt_client_save_later(mc);
        ngx_mqtt_client_session_pull(mc);
    }
}


/*
 * Within a millisecond it is told by the count of the worker that has received
 * them: of a message in two logs one may be passed over, and what is behind it
 * must not come before the other one.
 */

static ngx_uint_t
ngx_mqtt_pulled_is_older(ngx_mqtt_pulled_t *one, ngx_mqtt_pulled_t *two)
{
    if (one->msg->received != two->msg->received) {
        return one->msg->received < two->msg->received;
    }

    return ngx_memcmp(one->uid, two->uid, NGX_MQTT_LOG_UID) < 0;
}


/* logs of which a page is to be read */

static ngx_uint_t
ngx_mqtt_pull_behind(ngx_mqtt_client_session_t *ss)
{
    ngx_uint_t          n;
    ngx_queue_t        *q;
    ngx_mqtt_reader_t  *reader;

    n = 0;

    for (q = ngx_queue_head(&ss->readers);
         q != ngx_queue_sentinel(&ss->readers);
         q = ngx_queue_next(q))
    {
        reader = ngx_queue_data(q, ngx_mqtt_reader_t, queue);
        n += ngx_mqtt_pull_is_behind(reader);
    }

    return n;
}


/* of the first ones of each log the one that was received first */

static ngx_mqtt_pulled_t *
ngx_mqtt_pull_next(ngx_mqtt_client_session_t *ss)
{
    ngx_queue_t        *q;
    ngx_mqtt_pulled_t  *pulled, *next;
    ngx_mqtt_reader_t  *reader;

    next = NULL;
    reader = NULL;

    for (q = ngx_queue_head(&ss->page);
         q != ngx_queue_sentinel(&ss->page);
         q = ngx_queue_next(q))
    {
        pulled = ngx_queue_data(q, ngx_mqtt_pulled_t, queue);

        /* pages stand there one behind another */

        if (pulled->reader == reader) {
            continue;
        }

        reader = pulled->reader;

        if (next == NULL || pulled->msg == NULL
            || (next->msg && ngx_mqtt_pulled_is_older(pulled, next)))
        {
            next = pulled;
        }
    }

    return next;
}


static void
ngx_mqtt_pull_deliver(ngx_mqtt_client_t *mc, ngx_mqtt_pulled_t *pulled)
{
    u_char                     *uid;
    ngx_str_t                  *origin;
    ngx_uint_t                  own;
    ngx_mqtt_log_ref_t          ref;
    ngx_mqtt_session_mark_t    *mark;
    ngx_mqtt_client_session_t  *ss;

    ss = mc->session;

    mark = ngx_mqtt_session_mark_find(&ss->done, pulled->reader->number,
                                      pulled->number);
    if (mark) {

        /* acknowledged already, before others */

        return;
    }

    if (pulled->reader->sub == NULL) {
        ngx_mqtt_client_inbox_deliver(pulled->reader, pulled->msg,
                                      pulled->number);
        return;
    }

    ref.reader = pulled->reader;
    ref.number = pulled->number;

    origin = &pulled->msg->origin;

    own = (origin->len == mc->node.key.len
           && ngx_memcmp(origin->data, mc->node.key.data, origin->len) == 0);

    uid = pulled->several ? pulled->uid : NULL;

    mark = ngx_mqtt_session_mark_find(&ss->resumed, pulled->reader->number,
                                      pulled->number);

    if (mark && uid) {

        /* taken on an earlier connection: it is not new, but sent again */

        if (ngx_mqtt_pull_resume(mc, mark, uid) != NGX_OK) {
            return;
        }

        ss->again = 1;
    }

    ngx_mqtt_route_replay(mc->worker, pulled->msg, &mc->subscriber, own, &ref,
                          uid);

    ss->again = 0;
}


/* the other logs that it was taken from at once have it still */

static ngx_int_t
ngx_mqtt_pull_resume(ngx_mqtt_client_t *mc, ngx_mqtt_session_mark_t *mark,
    u_char *uid)
{
    ngx_uint_t                  i, left;
    ngx_mqtt_session_seen_t    *seen;
    ngx_mqtt_client_session_t  *ss;

    ss = mc->session;
    left = 0;

    for (i = 0; i < ss->resumed.n; i++) {
        left += (ss->resumed.marks[i].packet_id == mark->packet_id);
    }

    if (--left == 0) {
        return NGX_OK;
    }

    seen = ngx_mqtt_pull_seen(ss, uid);

    if (seen) {
        seen->left += (uint32_t) left;
        return NGX_OK;
    }

    if (ngx_mqtt_session_seen_add(mc->worker, ss, uid, left) != NGX_OK) {
        ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* sent on an earlier connection: again, with its packet id, 4.4 */

void
ngx_mqtt_client_session_resumed(ngx_mqtt_client_t *mc,
    ngx_mqtt_outbound_t *ob)
{
    uint16_t                    id;
    ngx_uint_t                  i;
    ngx_mqtt_session_mark_t    *mark;
    ngx_mqtt_client_session_t  *ss;

    ss = mc->session;

    mark = NULL;

    for (i = 0; i < ob->nrefs && mark == NULL; i++) {

        if (ob->qos == 1 && ob->refs[i].number <= ob->refs[i].reader->doubt) {

            /* 3.3.1.1: it may have been sent; of QoS 2 it would be known */

            ob->dup = 1;
        }

        mark = ngx_mqtt_session_mark_find(&ss->resumed,
                                          ob->refs[i].reader->number,
                                          ob->refs[i].number);
    }

    if (mark == NULL) {
        return;
    }

    id = mark->packet_id;

    ob->packet_id = id;
    ob->qos = mark->qos;
    ob->dup = 1;

    i = 0;

    while (i < ss->resumed.n) {

        if (ss->resumed.marks[i].packet_id == id) {
            ngx_mqtt_session_mark_remove(&ss->resumed, &ss->resumed.marks[i]);

        } else {
            i++;
        }
    }
}


ngx_uint_t
ngx_mqtt_client_session_has_id(ngx_mqtt_client_t *mc, uint16_t packet_id)
{
    ngx_uint_t                  i;
    ngx_mqtt_client_session_t  *ss;

    ss = mc->session;

    for (i = 0; i < ss->resumed.n; i++) {

        if (ss->resumed.marks[i].packet_id == packet_id) {
            return 1;
        }
    }

    return 0;
}


void
ngx_mqtt_client_session_forget(ngx_mqtt_client_t *mc,
    ngx_mqtt_reader_t *reader)
{
    ngx_uint_t                  i, j, n, alone;
    ngx_queue_t                *q, *next, *queues[2];
    ngx_mqtt_pulled_t          *pulled;
    ngx_mqtt_outbound_t        *ob;
    ngx_mqtt_client_session_t  *ss;

    ss = mc->session;

    /* a page under way; SUBSCRIBE waits for those that attach */

    if (reader->op) {
        reader->op->done = NULL;
        ngx_queue_remove(&reader->op->queue);
        ngx_queue_init(&reader->op->queue);

        ss->pulling--;
    }

    for (q = ngx_queue_head(&ss->page);
         q != ngx_queue_sentinel(&ss->page);
         q = next)
    {
        next = ngx_queue_next(q);
        pulled = ngx_queue_data(q, ngx_mqtt_pulled_t, queue);

        if (pulled->reader == reader) {
            ngx_queue_remove(q);
            ngx_mqtt_pulled_free(mc, pulled);
        }
    }

    if (mc->extra == NULL) {
        return;
    }

    alone = 0;

    queues[0] = &mc->extra->window.sent;
    queues[1] = &mc->extra->window.waiting;

    for (i = 0; i < 2; i++) {

        for (q = ngx_queue_head(queues[i]);
             q != ngx_queue_sentinel(queues[i]);
             q = ngx_queue_next(q))
        {
            ob = ngx_queue_data(q, ngx_mqtt_outbound_t, queue);
            n = 0;

            for (j = 0; j < ob->nrefs; j++) {

                if (ob->refs[j].reader != reader) {
                    ob->refs[n++] = ob->refs[j];
                }
            }

            alone |= (ob->nrefs && n == 0);
            ob->nrefs = (uint16_t) n;
        }
    }

    if (alone) {

        /* messages that no log has any more are saved as a whole, 3.10.4 */

        (void) ngx_mqtt_client_save(mc);
    }
}


void
ngx_mqtt_client_pull_free(ngx_mqtt_client_t *mc)
{
    ngx_queue_t                *q;
    ngx_mqtt_client_session_t  *ss;

    ss = mc->session;

    while (!ngx_queue_empty(&ss->page)) {
        q = ngx_queue_head(&ss->page);
        ngx_queue_remove(q);

        ngx_mqtt_pulled_free(mc, ngx_queue_data(q, ngx_mqtt_pulled_t, queue));
    }

    if (ss->seen) {
        ngx_mqtt_free(mc->worker, ss->seen, NGX_MQTT_SESSION_SEEN
                                            * sizeof(ngx_mqtt_session_seen_t));
        ss->seen = NULL;
        ss->nseen = 0;
    }
}


static void
ngx_mqtt_pulled_free(ngx_mqtt_client_t *mc, ngx_mqtt_pulled_t *pulled)
{
    if (pulled->msg) {
        ngx_mqtt_msg_unref(pulled->msg);
    }

    ngx_mqtt_free(mc->worker, pulled, sizeof(ngx_mqtt_pulled_t));
}
