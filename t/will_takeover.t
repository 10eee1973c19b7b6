#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Wills and the next connection of the same client (3.1.3.2.2, 3.1.4-3): a
# takeover sends the will of the old connection unless the session goes on and
# there is a delay; a client that is back before the delay is over cancels it;
# the end of the session does not.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Workers qw/ socket_on client_on /;
use Test::More tests => 2 * 8 + 9;

###############################################################################

my $t = MqttTest->new;

$t->write_conf(workers => 2, servers => <<'END');
    server {
        listen 127.0.0.1:%%PORT_spread%% reuseport;
        mqtt_pass test;
    }
END

$t->run;

my @worker = $t->worker_pids;
my $subscriber = on(0);
$subscriber->subscribe('will/#' => 1);

my $number = 0;

for my $i (0, 1) {
    my $where = $i ? 'another worker' : 'the same worker';

    # [ name, version, session expiry, delay, clean start, published ]

    for my $case ([ 'without a delay', 5, 100, undef, 0, 1 ],
                  [ 'with a delay', 5, 100, 50, 0, 0 ],
                  [ 'with a delay, clean start', 5, 100, 50, 1, 1 ],
                  [ 'with a delay, no session', 5, 0, 50, 0, 1 ],
                  [ '3.1.1', 4, undef, undef, 0, 1 ],
                  [ '3.1.1, clean session', 4, undef, undef, 1, 1 ])
    {
        my ($name, $version, $expiry, $delay, $clean, $published) = @$case;

        my $old = on(0, version => $version, client_id => 'c', clean => 0,
                     expiry($expiry), will => will($delay));
        my $new = on($i, version => $version, client_id => 'c',
                     clean => $clean, expiry($expiry));

        $old->expect_close if $version == 4;
        next_is($published, "$where: takeover $name");

        $new->disconnect($version == 5 ? (props => [ [ session_expiry => 0 ] ])
                                       : ());
        clean_up('c') if $version == 4;
        gone();
    }
}

# the connection is gone already

for my $case ([ 'resumed before the delay is over', 0, 0 ],
              [ 'clean start before the delay is over', 1, 1 ])
{
    my ($name, $clean, $published) = @$case;

    my $c = on(1, client_id => 'd', clean => 0, expiry(100),
               will => will(60));
    $c->close;
    ok(wait_for { $t->redis->keys('*{x}s') }, "$name: the will waits");

    $c = on(0, client_id => 'd', clean => $clean, expiry(100));
    is($c->connack->{session_present}, !$clean || 0, "$name: session present");
    next_is($published, $name);

    # the new connection has no will

    $c->close;
    next_is(0, "$name: only once");
    clean_up('d');
    gone();
}

is($t->total('wills_published'), 11, 'no other one was published');

###############################################################################

sub on { return client_on($t, $worker[shift], @_) }


sub expiry {
    my ($expiry) = @_;

    return defined $expiry ? (props => [ [ session_expiry => $expiry ] ]) : ();
}


sub will {
    my ($delay) = @_;

    $number++;

    return { topic => "will/$number", payload => "will $number", qos => 1,
             defined $delay ? (props => [ [ will_delay => $delay ] ]) : () };
}


sub next_is {
    my ($published, $name) = @_;

    # a will that was published too late for this is found by the next one

    if (!$published) {
        $subscriber->publish_wait('x', 'y', qos => 1) for 1 .. 5;
        $subscriber->publish('will/none', "none $number");
    }

    my $m = $subscriber->recv_message;

    is($m && $m->{payload},
       $published ? "will $number" : "none $number", $name);
}


sub clean_up {
    my ($id) = @_;

    on(0, client_id => $id, clean => 1)->disconnect;
}


sub gone {
    wait_for { 1 == $t->redis->keys('*{c:*') } or diag('sessions are left');
}

###############################################################################
