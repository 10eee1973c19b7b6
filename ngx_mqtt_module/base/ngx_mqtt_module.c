
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The core module: the list of the gateways of a cycle, so that the stream
 * and the http module find the same ones, and the directives that name one,
 * perhaps before it is defined.  Nothing else happens here: worker life
 * belongs to the stream module (P12, P13).
 */


#include "ngx_mqtt.h"


typedef struct {
    ngx_array_t          gateways;         /* of ngx_mqtt_gateway_t * */
    ngx_array_t          refs;             /* of ngx_mqtt_gateway_ref_t */
} ngx_mqtt_conf_t;


static void *ngx_mqtt_module_create_conf(ngx_cycle_t *cycle);
static char *ngx_mqtt_module_init_conf(ngx_cycle_t *cycle, void *conf);


static ngx_core_module_t  ngx_mqtt_module_ctx = {
    ngx_string("mqtt"),
    ngx_mqtt_module_create_conf,
    ngx_mqtt_module_init_conf
};


ngx_module_t  ngx_mqtt_module = {
    NGX_MODULE_V1,
    &ngx_mqtt_module_ctx,                  /* module context */
    NULL,                                  /* module directives */
    NGX_CORE_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


ngx_array_t *
ngx_mqtt_gateways(ngx_cycle_t *cycle)
{
    ngx_mqtt_conf_t  *conf;

    conf = (ngx_mqtt_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_mqtt_module);

    return &conf->gateways;
}


ngx_mqtt_gateway_t *
ngx_mqtt_gateway_find(ngx_cycle_t *cycle, ngx_str_t *name)
{
    ngx_uint_t            i;
    ngx_array_t          *gateways;
    ngx_mqtt_gateway_t  **gwp;

    gateways = ngx_mqtt_gateways(cycle);
    gwp = gateways->elts;

    for (i = 0; i < gateways->nelts; i++) {

        if (gwp[i]->name.len == name->len
            && ngx_strncmp(gwp[i]->name.data, name->data, name->len) == 0)
        {
            return gwp[i];
        }
    }

    return NULL;
}


ngx_int_t
ngx_mqtt_gateway_add(ngx_conf_t *cf, ngx_mqtt_gateway_t *gw)
{
    ngx_mqtt_gateway_t  **gwp;

    gwp = ngx_array_push(ngx_mqtt_gateways(cf->cycle));
    if (gwp == NULL) {
        return NGX_ERROR;
    }

    *gwp = gw;

    return NGX_OK;
}


ngx_int_t
ngx_mqtt_gateway_refer(ngx_conf_t *cf, ngx_mqtt_gateway_ref_t *ref)
{
    ngx_mqtt_conf_t         *conf;
    ngx_mqtt_gateway_ref_t  *r;

    conf = (ngx_mqtt_conf_t *) ngx_get_conf(cf->cycle->conf_ctx,
                                            ngx_mqtt_module);

    r = ngx_array_push(&conf->refs);
    if (r == NULL) {
        return NGX_ERROR;
    }

    *r = *ref;

    return NGX_OK;
}


static void *
ngx_mqtt_module_create_conf(ngx_cycle_t *cycle)
{
    ngx_mqtt_conf_t  *conf;

    conf = ngx_pcalloc(cycle->pool, sizeof(ngx_mqtt_conf_t));

    if (conf == NULL
        || ngx_array_init(&conf->gateways, cycle->pool, 1,
                          sizeof(ngx_mqtt_gateway_t *))
           != NGX_OK
        || ngx_array_init(&conf->refs, cycle->pool, 1,
                          sizeof(ngx_mqtt_gateway_ref_t))
           != NGX_OK)
    {
        return NULL;
    }

    return conf;
}


static char *
ngx_mqtt_module_init_conf(ngx_cycle_t *cycle, void *conf)
{
    ngx_mqtt_conf_t *mcf = conf;

    const char              *error;
    ngx_uint_t               i;
    ngx_mqtt_gateway_t      *gw;
    ngx_mqtt_gateway_ref_t  *ref;

    ref = mcf->refs.elts;

    for (i = 0; i < mcf->refs.nelts; i++) {
        gw = ngx_mqtt_gateway_find(cycle, &ref[i].name);

        if (gw == NULL) {
            ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                          "unknown mqtt_gateway \"%V\" in %s:%ui",
                          &ref[i].name, ref[i].file_name, ref[i].line);
            return NGX_CONF_ERROR;
        }

        error = ref[i].check ? ref[i].check(gw) : NULL;

        if (error) {
            ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                          "%s in mqtt_gateway \"%V\" in %s:%ui",
                          error, &ref[i].name, ref[i].file_name, ref[i].line);
            return NGX_CONF_ERROR;
        }

        *ref[i].gateway = gw;
    }

    return NGX_CONF_OK;
}
