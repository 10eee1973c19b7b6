#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# The session record in Redis around a connection: what is kept of its fields,
# what a clean start and a session expiry of 0 leave of them.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More tests => 11;

###############################################################################

my $t = MqttTest->new;
my $redis = $t->redis;

$t->write_conf(workers => 2);
$t->run;

my @kept = (client_id => 'kept', clean => 0,
            props => [ [ session_expiry => 100 ] ]);

my $c = $t->client(@kept);
add_fields('kept');
$c->disconnect;

ok(wait_for { session('kept')->{o} eq '' }, 'released');

$c = $t->client(@kept);
is($c->connack->{session_present}, 1, 'the session is present');
is_deeply([ grep { /^[svg]/ } sort keys %{ session('kept') } ],
          [ 'sa/#', 'sb', 'v' ], 'and its fields are kept');

# taken over by a clean start

my $clean = $t->client(client_id => 'kept', clean => 1,
                       props => [ [ session_expiry => 100 ] ]);
is($clean->connack->{session_present}, 0, 'a clean start');
$c->expect_disconnect(0x8e);

ok(wait_for { !grep { /^[svg]/ } keys %{ session('kept') } },
   'leaves nothing of the old session');

# DISCONNECT with a session expiry of 0

add_fields('kept');
$clean->disconnect(props => [ [ session_expiry => 0 ] ]);
ok(wait_for { !$redis->keys('*{c:*') }, 'a session that ends with DISCONNECT');

# many subscriptions

$c = $t->client(@kept);
$redis->command('HSET', key('kept'), map { ("sfilter/$_", 'x' x 100) }
                                     1 .. 1000);
$c->disconnect;
ok(wait_for { session('kept')->{o} eq '' }, 'released with 1000');

$c = $t->client(@kept);
is($c->connack->{session_present}, 1, 'claimed with 1000 subscriptions');
$c->disconnect;

$clean = $t->client(client_id => 'kept', clean => 1);
is($clean->connack->{session_present}, 0, 'a clean start over 1000');
$clean->disconnect;

ok(wait_for { !$redis->keys('*{c:*') }, 'leaves nothing');

###############################################################################

sub add_fields {
    my ($id) = @_;

    $redis->command('HSET', key($id), 'sa/#', "\1\0", 'sb', 'x', 'v', 'state');
}


sub key {
    my ($id) = @_;

    return "test:{c:$id}";
}


sub session {
    my ($id) = @_;

    return { o => '?', @{ $redis->command('HGETALL', key($id)) } };
}

###############################################################################
