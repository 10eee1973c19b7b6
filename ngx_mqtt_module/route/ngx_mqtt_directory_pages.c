
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Pages and chunks of the node's directory; ngx_mqtt_directory_store.h.
 *
 * (1) Formatting touches no page: pages above dir->top were never used.
 * (2) dir->room[units] lists the pages of a class that have a free chunk; a
 *     full page is in no list, an empty one goes to dir->free.
 */


#include "ngx_mqtt_directory_store.h"


#define NGX_MQTT_DIR_LINE  64      /* a cache line */


static void ngx_mqtt_dir_page_link(ngx_mqtt_dir_t *dir, uint32_t n);
static void ngx_mqtt_dir_page_unlink(ngx_mqtt_dir_t *dir, uint32_t n);


#define ngx_mqtt_dir_descriptor(dir, n)                                       \
    ((ngx_mqtt_dir_page_t *) ((u_char *) (dir) + (dir)->descriptors) + (n))

#define ngx_mqtt_dir_page_full(page)                                          \
    ((page)->free == 0 && (page)->fresh + (page)->units > NGX_MQTT_DIR_UNITS)


ngx_int_t
ngx_mqtt_dir_pages_format(ngx_mqtt_dir_t *dir, size_t size)
{
    size_t  n, head, each;

    /* a page of buckets serves at least eight pages of nodes */

    head = ngx_align(sizeof(ngx_mqtt_dir_t), NGX_MQTT_DIR_LINE)
           + 3 * NGX_MQTT_DIR_LINE;

    each = NGX_MQTT_DIR_PAGE + sizeof(ngx_mqtt_dir_page_t)
           + sizeof(uint32_t);

    if (size < head + 4 * each) {
        return NGX_ERROR;
    }

    n = (size - head) / each;
    n = ngx_min(n, (NGX_MQTT_DIR_SHARED - 1) / NGX_MQTT_DIR_UNITS - 1);

    dir->npages = (uint32_t) n;
    dir->nsegments = (uint32_t) n / 8 + 1;

    dir->segments = ngx_align(sizeof(ngx_mqtt_dir_t), NGX_MQTT_DIR_LINE);
    dir->descriptors = ngx_align(dir->segments
                                 + dir->nsegments * sizeof(uint32_t),
                                 NGX_MQTT_DIR_LINE);

    /* descriptor 0 and page 0 are not used, the latter is not there */

    dir->pages = ngx_align(dir->descriptors
                           + (n + 1) * sizeof(ngx_mqtt_dir_page_t),
                           NGX_MQTT_DIR_LINE)
                 - NGX_MQTT_DIR_PAGE;

    dir->top = 1;
    dir->free = 0;
    ngx_memzero(dir->room, sizeof(dir->room));

    return NGX_OK;
}


uint32_t
ngx_mqtt_dir_page(ngx_mqtt_dir_t *dir)
{
    uint32_t  n;

    n = dir->free;

    if (n) {
        dir->free = ngx_mqtt_dir_descriptor(dir, n)->next;

    } else if (dir->top <= dir->npages) {
        n = dir->top++;
    }

    return n * NGX_MQTT_DIR_UNITS;
}


uint32_t
ngx_mqtt_dir_alloc(ngx_mqtt_dir_t *dir, size_t size)
{
    uint32_t              n, unit;
    ngx_uint_t            units;
    ngx_mqtt_dir_page_t  *page;

    units = (size + NGX_MQTT_DIR_UNIT - 1) / NGX_MQTT_DIR_UNIT;

    n = dir->room[units];

    if (n == 0) {
        n = ngx_mqtt_dir_page(dir) / NGX_MQTT_DIR_UNITS;

        if (n == 0) {
            return 0;
        }

        page = ngx_mqtt_dir_descriptor(dir, n);

        page->units = (uint16_t) units;
        page->used = 0;
        page->fresh = 0;
        page->free = 0;

        ngx_mqtt_dir_page_link(dir, n);
    }

    page = ngx_mqtt_dir_descriptor(dir, n);

    if (page->free) {
        unit = n * NGX_MQTT_DIR_UNITS + page->free - 1;
        page->free = *(uint16_t *) ngx_mqtt_dir_data(dir, unit);

    } else {
        unit = n * NGX_MQTT_DIR_UNITS + page->fresh;
        page->fresh = (uint16_t) (page->fresh + units);
    }

    page->used++;

    if (ngx_mqtt_dir_page_full(page)) {
        ngx_mqtt_dir_page_unlink(dir, n);
    }

    return unit;
}


void
ngx_mqtt_dir_free(ngx_mqtt_dir_t *dir, uint32_t ref)
{
    uint32_t              n;
    ngx_mqtt_dir_page_t  *page;

    n = ref / NGX_MQTT_DIR_UNITS;
    page = ngx_mqtt_dir_descriptor(dir, n);

    if (ngx_mqtt_dir_page_full(page)) {
        ngx_mqtt_dir_page_link(dir, n);
    }

    *(uint16_t *) ngx_mqtt_dir_data(dir, ref) = page->free;
    page->free = (uint16_t) (ref % NGX_MQTT_DIR_UNITS + 1);

    page->used--;

    if (page->used == 0) {
        ngx_mqtt_dir_page_unlink(dir, n);

        page->next = dir->free;
        dir->free = n;
    }
}


static void
ngx_mqtt_dir_page_link(ngx_mqtt_dir_t *dir, uint32_t n)
{
    uint32_t             *head;
    ngx_mqtt_dir_page_t  *page;

    page = ngx_mqtt_dir_descriptor(dir, n);
    head = &dir->room[page->units];

    page->prev = 0;
    page->next = *head;

    if (*head) {
        ngx_mqtt_dir_descriptor(dir, *head)->prev = n;
    }

    *head = n;
}


static void
ngx_mqtt_dir_page_unlink(ngx_mqtt_dir_t *dir, uint32_t n)
{
    ngx_mqtt_dir_page_t  *page;

    page = ngx_mqtt_dir_descriptor(dir, n);

    if (page->next) {
        ngx_mqtt_dir_descriptor(dir, page->next)->prev = page->prev;
    }

    if (page->prev) {
        ngx_mqtt_dir_descriptor(dir, page->prev)->next = page->next;

    } else {
        dir->room[page->units] = page->next;
    }
}
