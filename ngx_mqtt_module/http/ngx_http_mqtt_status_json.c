
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The status as JSON.
 *
 * (1) Slots are read while their workers write them: a slot counts if its
 *     generation is the same after reading as before.
 * (2) "total" is the sum of what is shown: live workers and "retired", the
 *     counters of those that ended.  Gauges die with their worker.
 */


#include "ngx_http_mqtt.h"


#define NGX_HTTP_MQTT_JSON_VERSION  1       /* of the format */

#define NGX_HTTP_MQTT_JSON_FLAGS    (JSON_COMPACT|JSON_ENSURE_ASCII)


static json_t *ngx_http_mqtt_json_status(void);
static json_t *ngx_http_mqtt_json_gateways(ngx_cycle_t *cycle);
static json_t *ngx_http_mqtt_json_gateway(ngx_mqtt_gateway_t *gw);
static json_t *ngx_http_mqtt_json_workers(ngx_mqtt_zone_t *zone,
    ngx_atomic_uint_t *total);
static json_t *ngx_http_mqtt_json_worker(ngx_mqtt_zone_slot_t *slot,
    ngx_uint_t n, uint64_t generation, ngx_atomic_uint_t *values);
static json_t *ngx_http_mqtt_json_counters(ngx_atomic_uint_t *values,
    ngx_uint_t gauges);
static json_t *ngx_http_mqtt_json_whole(json_t *json, int rc);


ngx_int_t
ngx_http_mqtt_status_json(ngx_http_request_t *r, ngx_str_t *text)
{
    json_t     *json;
    ngx_int_t   rc;

    json = ngx_http_mqtt_json_status();

    if (json == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_http_mqtt_json_text(r, json, text);

    json_decref(json);

    return rc;
}


ngx_int_t
ngx_http_mqtt_json_text(ngx_http_request_t *r, json_t *json, ngx_str_t *text)
{
    ngx_int_t  rc;

    rc = NGX_ERROR;

    text->len = json_dumpb(json, NULL, 0, NGX_HTTP_MQTT_JSON_FLAGS);

    if (text->len) {
        text->data = ngx_pnalloc(r->pool, text->len + 1);

        if (text->data) {
            (void) json_dumpb(json, (char *) text->data, text->len,
                              NGX_HTTP_MQTT_JSON_FLAGS);

            text->data[text->len++] = LF;

            rc = NGX_OK;
        }
    }

    return rc;
}


static json_t *
ngx_http_mqtt_json_status(void)
{
    int           rc;
    json_t       *json;
    ngx_cycle_t  *cycle;

    cycle = (ngx_cycle_t *) ngx_cycle;

    json = json_object();

    rc = json_object_set_new(json, "version",
                             json_integer(NGX_HTTP_MQTT_JSON_VERSION));
    rc |= json_object_set_new(json, "nginx", json_string(NGINX_VERSION));
    rc |= json_object_set_new(json, "pid", json_integer(ngx_pid));
    rc |= json_object_set_new(json, "gateways",
                              ngx_http_mqtt_json_gateways(cycle));

    return ngx_http_mqtt_json_whole(json, rc);
}


static json_t *
ngx_http_mqtt_json_gateways(ngx_cycle_t *cycle)
{
    int                   rc;
    json_t               *json;
    ngx_uint_t            i;
    ngx_array_t          *gateways;
    ngx_mqtt_gateway_t  **gwp;

    json = json_object();

    gateways = ngx_mqtt_gateways(cycle);
    gwp = gateways->elts;

    rc = 0;

    for (i = 0; i < gateways->nelts; i++) {
        rc |= json_object_set_new(json, (char *) gwp[i]->name.data,
                                  ngx_http_mqtt_json_gateway(gwp[i]));
    }

    return ngx_http_mqtt_json_whole(json, rc);
}


static json_t *
ngx_http_mqtt_json_gateway(ngx_mqtt_gateway_t *gw)
{
    int                 rc;
    u_char              node[NGX_INT64_LEN + 1];
    json_t             *json;
    ngx_uint_t          i;
    ngx_mqtt_zone_t    *zone;
    ngx_atomic_uint_t   retired[NGX_MQTT_STATS], total[NGX_MQTT_STATS];

    zone = ngx_mqtt_zone(gw);

    for (i = 0; i < NGX_MQTT_STATS; i++) {
        retired[i] = zone->retired[i];
        total[i] = retired[i];
    }

    json = json_object();

    ngx_sprintf(node, "%016xL%Z", zone->node_id);

    rc = json_object_set_new(json, "node", json_string((char *) node));
    rc |= json_object_set_new(json, "workers",
                              ngx_http_mqtt_json_workers(zone, total));
    rc |= json_object_set_new(json, "retired",
                              ngx_http_mqtt_json_counters(retired, 0));
    rc |= json_object_set_new(json, "total",
                              ngx_http_mqtt_json_counters(total, 1));

    return ngx_http_mqtt_json_whole(json, rc);
}


static json_t *
ngx_http_mqtt_json_workers(ngx_mqtt_zone_t *zone, ngx_atomic_uint_t *total)
{
    int                    rc;
    json_t                *json;
    uint64_t               generation;
    ngx_uint_t             i, n;
    ngx_atomic_uint_t      values[NGX_MQTT_STATS];
    ngx_mqtt_zone_slot_t  *slot;

    json = json_array();
    rc = 0;

    for (n = 0; n < zone->nslots; n++) {
        slot = &zone->slots[n];

        generation = slot->generation;

        if (generation == 0) {
            continue;
        }

        ngx_memory_barrier();

        for (i = 0; i < NGX_MQTT_STATS; i++) {
            values[i] = slot->counters[i];
        }

        ngx_memory_barrier();

        if (slot->generation != generation) {
            continue;
        }

        for (i = 0; i < NGX_MQTT_STATS; i++) {
            total[i] += values[i];
        }

        rc |= json_array_append_new(json,
                                    ngx_http_mqtt_json_worker(slot, n,
                                                              generation,
                                                              values));
    }

    return ngx_http_mqtt_json_whole(json, rc);
}


static json_t *
ngx_http_mqtt_json_worker(ngx_mqtt_zone_slot_t *slot, ngx_uint_t n,
    uint64_t generation, ngx_atomic_uint_t *values)
{
    int      rc;
    json_t  *json;

    json = json_object();

    rc = json_object_set_new(json, "slot", json_integer(n));
    rc |= json_object_set_new(json, "pid", json_integer(slot->pid));
    rc |= json_object_set_new(json, "worker", json_integer(slot->worker));
    rc |= json_object_set_new(json, "generation", json_integer(generation));
    rc |= json_object_set_new(json, "exiting", json_boolean(slot->exiting));
    rc |= json_object_set_new(json, "counters",
                              ngx_http_mqtt_json_counters(values, 1));

    return ngx_http_mqtt_json_whole(json, rc);
}


static json_t *
ngx_http_mqtt_json_counters(ngx_atomic_uint_t *values, ngx_uint_t gauges)
{
    int          rc;
    json_t      *json;
    ngx_uint_t   i;

    json = json_object();
    rc = 0;

    for (i = 0; i < NGX_MQTT_STATS; i++) {

        if (ngx_mqtt_counters[i].gauge && !gauges) {
            continue;
        }

        rc |= json_object_set_new(json,
                                  (char *) ngx_mqtt_counters[i].name.data,
                                  json_integer((json_int_t) values[i]));
    }

    return ngx_http_mqtt_json_whole(json, rc);
}


/* a part that could not be made for want of memory fails the whole */

static json_t *
ngx_http_mqtt_json_whole(json_t *json, int rc)
{
    if (rc == 0) {
        return json;
    }

    json_decref(json);

    return NULL;
}
