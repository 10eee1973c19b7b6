
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The state of a gateway in one worker process: its slot in the zone, its
 * queues and private events, and the way to learn that nginx quits.
 *
 * (1) Made in init_process of a worker or of the single process, never in the
 *     master or a helper (P11, P12).
 * (2) nginx tells idle connections, and nobody else, that it quits (P22).  An
 *     idle connection of our own, an eventfd that never becomes readable,
 *     makes sure that we hear of it without any client.
 * (3) That connection is not a channel, so that it also hears of
 *     worker_shutdown_timeout (P21); it is closed before nginx looks for open
 *     sockets.
 */


#include "ngx_mqtt.h"

#include <sys/eventfd.h>


static void ngx_mqtt_worker_init_event(ngx_mqtt_worker_t *w, ngx_event_t *ev,
    ngx_event_handler_pt handler);
static void ngx_mqtt_worker_resume_handler(ngx_event_t *ev);
static ngx_int_t ngx_mqtt_worker_listen_quit(ngx_mqtt_worker_t *w);
static void ngx_mqtt_worker_quit_handler(ngx_event_t *ev);


ngx_mqtt_worker_t *
ngx_mqtt_worker_create(ngx_mqtt_gateway_t *gw, ngx_cycle_t *cycle,
    ngx_mqtt_hooks_t *hooks, void (*quit)(ngx_mqtt_worker_t *w))
{
    ngx_mqtt_worker_t  *w;

    w = ngx_pcalloc(cycle->pool, sizeof(ngx_mqtt_worker_t));
    if (w == NULL) {
        return NULL;
    }

    w->gateway = gw;
    w->cycle = cycle;
    w->log = cycle->log;
    w->hooks = hooks;
    w->quit = quit;

    w->ident.worker = w;
    w->ident.fd = -1;

    w->read_buffer = ngx_palloc(cycle->pool, NGX_MQTT_READ_BUFFER);
    w->write_buffer = ngx_palloc(cycle->pool, NGX_MQTT_WRITE_BUFFER);

    if (w->read_buffer == NULL || w->write_buffer == NULL) {
        return NULL;
    }

    ngx_queue_init(&w->connections);
    ngx_queue_init(&w->dirty);
    ngx_queue_init(&w->closing);
    ngx_queue_init(&w->paused);
    ngx_queue_init(&w->wills);
    ngx_queue_init(&w->unsaved);
    ngx_queue_init(&w->saving);
    ngx_queue_init(&w->behind);
    ngx_queue_init(&w->ops_completed);

    ngx_mqtt_worker_init_event(w, &w->flush_event, hooks->flush);
    ngx_mqtt_worker_init_event(w, &w->close_event, hooks->close);
    ngx_mqtt_worker_init_event(w, &w->behind_event, hooks->behind);
    ngx_mqtt_worker_init_event(w, &w->op_event, ngx_mqtt_op_handler);
    ngx_mqtt_worker_init_event(w, &w->resume_event,
                               ngx_mqtt_worker_resume_handler);

    w->behind_event.cancelable = 1;

    if (ngx_mqtt_zone_attach(w) != NGX_OK) {
        return NULL;
    }

    if (ngx_mqtt_worker_listen_quit(w) != NGX_OK) {
        ngx_mqtt_worker_destroy(w);
        return NULL;
    }

    return w;
}


void
ngx_mqtt_worker_destroy(ngx_mqtt_worker_t *w)
{
    ngx_event_t  *events[] = {
        &w->flush_event, &w->close_event, &w->op_event, &w->resume_event,
        &w->drain_event, &w->watch_event, &w->save_event, &w->behind_event
    };

    ngx_uint_t  i;

    for (i = 0; i < sizeof(events) / sizeof(events[0]); i++) {

        if (events[i]->posted) {
            ngx_delete_posted_event(events[i]);
        }

        if (events[i]->timer_set) {
            ngx_del_timer(events[i]);
        }
    }

    if (w->quit_connection) {
        ngx_close_connection(w->quit_connection);
        w->quit_connection = NULL;
    }

    ngx_mqtt_hash_free(&w->clients);
    ngx_mqtt_hash_free(&w->claiming);
    ngx_mqtt_alloc_release(w);
    ngx_mqtt_zone_detach(w);
}


static void
ngx_mqtt_worker_init_event(ngx_mqtt_worker_t *w, ngx_event_t *ev,
    ngx_event_handler_pt handler)
{
    ev->handler = handler;
    ev->data = &w->ident;
    ev->log = w->log;
}


static void
ngx_mqtt_worker_resume_handler(ngx_event_t *ev)
{
    ngx_mqtt_worker_t  *w;

    w = ngx_mqtt_event_worker(ev);

    w->hooks->resume(w);

    if (w->on_resume) {
        w->on_resume(w);
    }
}


static ngx_int_t
ngx_mqtt_worker_listen_quit(ngx_mqtt_worker_t *w)
{
    ngx_socket_t       fd;
    ngx_connection_t  *c;

    fd = eventfd(0, EFD_NONBLOCK|EFD_CLOEXEC);

    if (fd == -1) {
        ngx_log_error(NGX_LOG_EMERG, w->log, ngx_errno, "eventfd() failed");
        return NGX_ERROR;
    }

    c = ngx_get_connection(fd, w->log);

    if (c == NULL) {

        if (close(fd) == -1) {
            ngx_log_error(NGX_LOG_ALERT, w->log, ngx_errno,
                          "close() of an eventfd failed");
        }

        ngx_log_error(NGX_LOG_EMERG, w->log, 0,
                      "worker_connections are not enough for mqtt_gateway");
        return NGX_ERROR;
    }

    c->data = w;
    c->log = w->log;
    c->idle = 1;

    c->read->handler = ngx_mqtt_worker_quit_handler;
    c->read->log = w->log;
    c->write->handler = ngx_mqtt_worker_quit_handler;
    c->write->log = w->log;

    w->quit_connection = c;

    return NGX_OK;
}


static void
ngx_mqtt_worker_quit_handler(ngx_event_t *ev)
{
    ngx_connection_t   *c;
    ngx_mqtt_worker_t  *w;

    c = ev->data;
    w = c->data;

    if (!c->close) {
        return;
    }

    c->close = 0;

    if (c->error) {
        c->error = 0;
        w->drain_forced = 1;
    }

    w->quit(w);
}
