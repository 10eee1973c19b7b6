
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Saving a session: its state in the record of the session, its cursors in
 * the logs that it reads.
 *
 * (1) Saves are numbered.  One is under way at a time, for all that changed in
 *     a turn of the event loop or while the last one was; whoever needs one
 *     gets its number and is served when "saved" has reached it.
 * (2) What can wait is saved by one timer for all sessions of the worker.
 *
 * Called from: the packet handlers, the flush event, its timer, Redis replies.
 */


#include "ngx_mqtt_client_session.h"


/* a packet that is sent when a save is done */

typedef struct {
    ngx_queue_t               queue;        /* in session->then */
    uint64_t                  save;
    ngx_uint_t                type;
    ngx_mqtt_ack_slot_t      *slot;         /* of PUBREC */
    ngx_uint_t                code;
    uint16_t                  packet_id;
} ngx_mqtt_save_then_t;


static void ngx_mqtt_save_send(ngx_mqtt_client_t *mc);
static ngx_int_t ngx_mqtt_save_state(ngx_mqtt_client_t *mc,
    ngx_uint_t open, ngx_mqtt_op_t *op);
static void ngx_mqtt_save_done(ngx_mqtt_op_t *op);
static void ngx_mqtt_save_serve(ngx_mqtt_client_t *mc);
static void ngx_mqtt_save_packet(ngx_mqtt_client_t *mc, ngx_uint_t type,
    uint16_t packet_id, ngx_mqtt_ack_slot_t *slot, ngx_uint_t code);
static void ngx_mqtt_save_timer(ngx_event_t *ev);
static void ngx_mqtt_save_ack(ngx_mqtt_client_t *mc);
static void ngx_mqtt_save_cursors(ngx_mqtt_client_t *mc);
static void ngx_mqtt_save_lower(ngx_queue_t *queue);
static void ngx_mqtt_save_prune(ngx_mqtt_client_t *mc);


uint64_t
ngx_mqtt_client_save(ngx_mqtt_client_t *mc)
{
    ngx_mqtt_worker_t          *w;
    ngx_mqtt_client_session_t  *ss;

    w = mc->worker;
    ss = mc->session;

    ss->asked = ss->sent + 1;

    if (ss->save_op == NULL && !ss->saving) {
        ss->saving = 1;
        ngx_queue_insert_tail(&w->saving, &ss->saving_queue);
        ngx_post_event(&w->flush_event, &ngx_posted_events);
    }

    return ss->asked;
}


ngx_int_t
ngx_mqtt_client_save_then(ngx_mqtt_client_t *mc, ngx_uint_t type,
    uint16_t packet_id, ngx_mqtt_ack_slot_t *slot, ngx_uint_t code)
{
    ngx_mqtt_save_then_t       *then;
    ngx_mqtt_client_session_t  *ss;

    ss = mc->session;

    if (ss == NULL) {
        ngx_mqtt_save_packet(mc, type, packet_id, slot, code);
        return NGX_OK;
    }

    then = ngx_mqtt_alloc(mc->worker, sizeof(ngx_mqtt_save_then_t));
    if (then == NULL) {
        ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);
        return NGX_ERROR;
    }

    then->save = ngx_mqtt_client_save(mc);
    then->type = type;
    then->slot = slot;
    then->code = code;
    then->packet_id = packet_id;

    ngx_queue_insert_tail(&ss->then, &then->queue);

    return NGX_OK;
}


void
ngx_mqtt_client_save_later(ngx_mqtt_client_t *mc)
{
    ngx_event_t                *ev;
    ngx_mqtt_worker_t          *w;
    ngx_mqtt_client_session_t  *ss;

    w = mc->worker;
    ss = mc->session;

    if (ss->unsaved) {
        return;
    }

    ss->unsaved = 1;
    ngx_queue_insert_tail(&w->unsaved, &ss->unsaved_queue);

    ev = &w->save_event;

    if (!ev->timer_set) {
        ev->handler = ngx_mqtt_save_timer;
        ev->data = &w->ident;
        ev->log = w->log;
        ev->cancelable = 1;

        ngx_add_timer(ev, NGX_MQTT_SESSION_DELAY);
    }
}


void
ngx_mqtt_client_save_handler(ngx_mqtt_worker_t *w)
{
    ngx_queue_t                *q;
    ngx_mqtt_client_session_t  *ss;

    while (!ngx_queue_empty(&w->saving)) {
        q = ngx_queue_head(&w->saving);
        ss = ngx_queue_data(q, ngx_mqtt_client_session_t, saving_queue);

        ngx_queue_remove(q);
        ss->saving = 0;

        ngx_mqtt_save_send(ss->client);
    }
}


static void
ngx_mqtt_save_send(ngx_mqtt_client_t *mc)
{
    ngx_mqtt_op_t              *op;
    ngx_mqtt_client_session_t  *ss;

    ss = mc->session;

    op = ngx_mqtt_op_get(mc->worker, &mc->ops, ngx_mqtt_save_done, mc);

    if (op == NULL) {
        ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);
        return;
    }

    if (ngx_mqtt_save_state(mc, 0, op) != NGX_OK) {
        ngx_mqtt_op_cancel(op);
        ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);
        return;
    }

    ss->save_op = op;
    ss->sent++;

    if (ss->acking) {
        ss->acking = 0;
        ngx_mqtt_save_ack(mc);
    }
}


/* the cursors are computed: what the state has depends on them */

static ngx_int_t
ngx_mqtt_save_state(ngx_mqtt_client_t *mc, ngx_uint_t open, ngx_mqtt_op_t *op)
{
    ngx_str_t                state;
    ngx_uint_t               n;
    ngx_keyval_t             fields[1 + NGX_MQTT_SETTLE_FIELDS];
    ngx_mqtt_settle_names_t  names;

    if (ngx_mqtt_client_get_extra(mc) == NULL) {
        return NGX_ERROR;
    }

    ngx_mqtt_save_cursors(mc);

    if (ngx_mqtt_client_state_write(mc, &state) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_str_set(&fields[0].key, "v");
    fields[0].value = state;

    n = 1 + ngx_mqtt_client_settle_fields(mc, open, &fields[1], names);

    ngx_mqtt_session_save(mc->worker, &mc->node.key, mc->epoch, fields, n, op);

    ngx_mqtt_free(mc->worker, state.data, state.len);

    return NGX_OK;
}


static void
ngx_mqtt_save_done(ngx_mqtt_op_t *op)
{
    ngx_mqtt_client_t          *mc;
    ngx_mqtt_client_session_t  *ss;

    mc = op->data;
    ss = mc->session;

    ss->save_op = NULL;

    if (op->rc != NGX_OK) {
        ngx_mqtt_client_session_lost(mc, op);
        return;
    }

    ss->saved = ss->sent;

    if (ss->asked > ss->sent) {
        (void) ngx_mqtt_client_save(mc);
    }

    ngx_mqtt_save_serve(mc);
}


static void
ngx_mqtt_save_serve(ngx_mqtt_client_t *mc)
{
    ngx_queue_t                *q;
    ngx_mqtt_save_then_t       *then;
    ngx_mqtt_client_session_t  *ss;

    ss = mc->session;

    while (!ngx_queue_empty(&ss->then) && !mc->closing) {
        q = ngx_queue_head(&ss->then);
        then = ngx_queue_data(q, ngx_mqtt_save_then_t, queue);

        if (then->save > ss->saved) {
            break;
        }

        ngx_queue_remove(q);

        ngx_mqtt_save_packet(mc, then->type, then->packet_id, then->slot,
                             then->code);

        ngx_mqtt_free(mc->worker, then, sizeof(ngx_mqtt_save_then_t));
    }

    if (!mc->closing) {
        ngx_mqtt_window_release(mc);
        ngx_mqtt_client_made_room(mc);
    }
}


static void
ngx_mqtt_save_packet(ngx_mqtt_client_t *mc, ngx_uint_t type,
    uint16_t packet_id, ngx_mqtt_ack_slot_t *slot, ngx_uint_t code)
{
    if (slot) {
        ngx_mqtt_ack_done(slot, code);
        return;
    }

    ngx_mqtt_client_send_ack(mc, type, packet_id, code);
}


static void
ngx_mqtt_save_timer(ngx_event_t *ev)
{
    ngx_queue_t                *q, unsaved;
    ngx_mqtt_worker_t          *w;
    ngx_mqtt_client_session_t  *ss;

    w = ngx_mqtt_event_worker(ev);

    if (ngx_queue_empty(&w->unsaved)) {
        return;
    }

    ngx_queue_init(&unsaved);
    ngx_queue_add(&unsaved, &w->unsaved);
    ngx_queue_init(&w->unsaved);

    while (!ngx_queue_empty(&unsaved)) {
        q = ngx_queue_head(&unsaved);
        ss = ngx_queue_data(q, ngx_mqtt_client_session_t, unsaved_queue);

        ngx_queue_remove(q);
        ss->unsaved = 0;
        ss->acking = 1;

        (void) ngx_mqtt_client_save(ss->client);
    }
}


void
ngx_mqtt_client_save_now(ngx_mqtt_client_t *mc, ngx_uint_t state)
{
    if (state && mc->extra) {
        (void) ngx_mqtt_save_state(mc, ngx_mqtt_acks_open(&mc->acks), NULL);

    } else {
        ngx_mqtt_save_cursors(mc);
    }

    ngx_mqtt_save_ack(mc);
}


static void
ngx_mqtt_save_ack(ngx_mqtt_client_t *mc)
{
    ngx_queue_t                *q;
    ngx_mqtt_reader_t          *reader;
    ngx_mqtt_client_session_t  *ss;

    ss = mc->session;

    for (q = ngx_queue_head(&ss->readers);
         q != ngx_queue_sentinel(&ss->readers);
         q = ngx_queue_next(q))
    {
        reader = ngx_queue_data(q, ngx_mqtt_reader_t, queue);

        if (reader->attached && reader->done > reader->cursor) {
            reader->cursor = reader->done;

            if (reader->sub == NULL) {
                ngx_mqtt_log_p2p_done(mc->worker, &mc->node.key,
                                      reader->done);
                continue;
            }

            ngx_mqtt_log_ack(mc->worker, &reader->sub->filter->node.key,
                             &mc->node.key, mc->epoch, reader->done);
        }
    }
}


/* reader->done: all up to it are settled; in order in the window */

static void
ngx_mqtt_save_cursors(ngx_mqtt_client_t *mc)
{
    ngx_queue_t                *q;
    ngx_mqtt_reader_t          *reader;
    ngx_mqtt_client_session_t  *ss;

    ss = mc->session;

    for (q = ngx_queue_head(&ss->readers);
         q != ngx_queue_sentinel(&ss->readers);
         q = ngx_queue_next(q))
    {
        reader = ngx_queue_data(q, ngx_mqtt_reader_t, queue);

        /* otherwise it is what the state had */

        if (reader->attached) {
            reader->done = reader->read;
        }
    }

    if (mc->extra) {
        ngx_mqtt_save_lower(&mc->extra->window.sent);
        ngx_mqtt_save_lower(&mc->extra->window.waiting);
    }

    ngx_mqtt_save_prune(mc);
}


static void
ngx_mqtt_save_lower(ngx_queue_t *queue)
{
    ngx_uint_t            i;
    ngx_queue_t          *q;
    ngx_mqtt_reader_t    *reader;
    ngx_mqtt_outbound_t  *ob;

    for (q = ngx_queue_head(queue);
         q != ngx_queue_sentinel(queue);
         q = ngx_queue_next(q))
    {
        ob = ngx_queue_data(q, ngx_mqtt_outbound_t, queue);

        for (i = 0; i < ob->nrefs; i++) {
            reader = ob->refs[i].reader;
            reader->done = ngx_min(reader->done, ob->refs[i].number - 1);
        }
    }
}


/* marks that the cursors have passed */

static void
ngx_mqtt_save_prune(ngx_mqtt_client_t *mc)
{
    ngx_uint_t                  i, n;
    ngx_mqtt_reader_t          *reader;
    ngx_mqtt_session_mark_t    *mark;
    ngx_mqtt_client_session_t  *ss;

    ss = mc->session;
    n = 0;

    for (i = 0; i < ss->done.n; i++) {
        mark = &ss->done.marks[i];
        reader = ngx_mqtt_client_session_reader(ss, mark->reader);

        if (reader && (!reader->attached || mark->number > reader->done)) {
            ss->done.marks[n++] = *mark;
        }
    }

    ss->done.n = n;
}


void
ngx_mqtt_client_session_settled(ngx_mqtt_client_t *mc,
    ngx_mqtt_outbound_t *ob)
{
    ngx_uint_t                  i;
    ngx_mqtt_client_session_t  *ss;

    ss = mc->session;

    if (ss == NULL) {
        return;
    }

    /* of the oldest one the cursor tells all, if it is in one log */

    if (ob->several
        || ngx_queue_prev(&ob->queue) != &mc->extra->window.sent)
    {
        for (i = 0; i < ob->nrefs; i++) {

            if (ngx_mqtt_client_session_done(mc, &ob->refs[i]) != NGX_OK) {
                return;
            }
        }
    }

    ob->nrefs = 0;

    if (ngx_mqtt_client_inbox_is_long(mc)) {

        /* what is read does not count for its bound much longer */

        ss->acking = 1;
        (void) ngx_mqtt_client_save(mc);
    }

    ngx_mqtt_client_save_later(mc);
}


ngx_int_t
ngx_mqtt_client_session_done(ngx_mqtt_client_t *mc, ngx_mqtt_log_ref_t *ref)
{
    ngx_mqtt_session_mark_t  mark;

    mark.reader = ref->reader->number;
    mark.number = ref->number;
    mark.packet_id = 0;
    mark.qos = 0;

    if (ngx_mqtt_session_mark_add(mc->worker, &mc->session->done, &mark)
        != NGX_OK)
    {
        ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);
        return NGX_ERROR;
    }

    return NGX_OK;
}


void
ngx_mqtt_client_save_free(ngx_mqtt_client_t *mc)
{
    ngx_queue_t                *q;
    ngx_mqtt_save_then_t       *then;
    ngx_mqtt_client_session_t  *ss;

    ss = mc->session;

    if (ss->unsaved) {
        ss->unsaved = 0;
        ngx_queue_remove(&ss->unsaved_queue);
    }

    if (ss->saving) {
        ss->saving = 0;
        ngx_queue_remove(&ss->saving_queue);
    }

    while (!ngx_queue_empty(&ss->then)) {
        q = ngx_queue_head(&ss->then);
        then = ngx_queue_data(q, ngx_mqtt_save_then_t, queue);

        ngx_queue_remove(q);

        /* the client is out of its slots: it is freed */

        if (then->slot) {
            ngx_mqtt_ack_done(then->slot, then->code);
        }

        ngx_mqtt_free(mc->worker, then, sizeof(ngx_mqtt_save_then_t));
    }

    ngx_mqtt_free(mc->worker, ss->done.marks,
                  ss->done.size * sizeof(ngx_mqtt_session_mark_t));
    ngx_memzero(&ss->done, sizeof(ngx_mqtt_session_marks_t));

    ngx_mqtt_free(mc->worker, ss->resumed.marks,
                  ss->resumed.size * sizeof(ngx_mqtt_session_mark_t));
    ngx_memzero(&ss->resumed, sizeof(ngx_mqtt_session_marks_t));
}
