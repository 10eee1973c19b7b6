#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Shared subscriptions, 4.8.2: what is one, options, versions, and members that
# move with a reload.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Workers;
use Test::More;

###############################################################################

use constant { NO_LOCAL => 0x04, RAP => 0x08 };

my $t = MqttTest->new;

$t->write_conf(workers => 2, gateway => 'drain_rate 100;',
               servers => spread_server('mqtt_send_window 4;
                                         mqtt_max_subscriptions 3;'));
$t->run;

my @invalid = ('$share', '$share/', '$share/g', '$share/g/', '$share//a',
               '$share/+/a', '$share/#/a', '$share/a+/b', '$share/g/a#');

plan tests => 2 * @invalid + 4 + 4 + 6 + 3 + 4;

my $p = client_on($t, ($t->worker_pids)[0]);
my $c = client_on($t, ($t->worker_pids)[1]);

# names

for my $filter (@invalid) {
    is_deeply($c->subscribe($filter => 1)->{codes}, [ 0x8f ],
              "5.0 \"$filter\"");

    my $old = client_on($t, ($t->worker_pids)[0], version => 4);
    $old->send(SUBSCRIBE => packet_id => 1, filters => [ [ $filter, 1 ] ]);
    $old->expect_close("3.1.1 \"$filter\"");
}

is_deeply($c->subscribe('$shared/g/a' => 1, '$share/$/a' => 2)->{codes},
          [ 1, 2 ], 'others are valid');

$p->publish_wait('$shared/g/a', 'an ordinary one', qos => 1);
is($c->recv_message->{payload}, 'an ordinary one', 'not a shared one');

is_deeply($c->unsubscribe('$shared/g/a', '$share/$/a', '$share/$/b',
                          '$share//b')->{codes},
          [ 0, 0, 0x11, 0x8f ], 'unsubscribed');

my $local = client_on($t, ($t->worker_pids)[0]);
$local->send(SUBSCRIBE => packet_id => 1,
             filters => [ [ '$share/g/a', 1 | NO_LOCAL ] ]);
$local->expect_disconnect(0x82, 'No Local is an error [MQTT-3.8.3-4]');

# subscribed again: the same member with other options

my $d = client_on($t, ($t->worker_pids)[1]);

$c->subscribe('$share/g/a' => 0);
$d->subscribe('$share/g/a' => 1);
$c->subscribe('$share/g/a' => 2 | RAP);

$p->publish_wait('a', $_, qos => 2, retain => 1) for 1 .. 4;

my %got = collect(4, c => $c, d => $d);

is(@{ $got{c} }, 2, 'subscribed again: one of two members');
is(join(' ', map { "$_->{qos}$_->{retain}" } @{ $c->{got} }), '21 21',
   'subscribed again: with the new options');
is(join(' ', map { "$_->{qos}$_->{retain}" } @{ $d->{got} }), '10 10',
   'each with its own');

$c->subscribe('$share/g/a' => 0);
$p->publish_wait('a', $_, qos => 2) for 1 .. 4;
splice @{ $c->{got} };
%got = collect(4, c => $c, d => $d);
is(join(' ', map { $_->{qos} } @{ $c->{got} }), '0 0', 'QoS 0');

# more

is_deeply($c->subscribe('$share/x/a' => 1, '$share/y/a' => 1,
                        '$share/z/a' => 1)->{codes}, [ 1, 1, 0x97 ],
          'each is one of the subscriptions that a client may have');
$c->unsubscribe('$share/x/a', '$share/y/a');

my $dollar = client_on($t, ($t->worker_pids)[1]);
$dollar->subscribe('$share/g/#' => 0, '$share/g/+/+' => 0,
                   '$share/g/$q/+' => 0);
$p->publish_wait('$q/r', 'x', qos => 1);
%got = collect(1, dollar => $dollar);
is(@{ $got{dollar} }, 1, 'wildcards do not match "$" [MQTT-4.7.2-1]');
$dollar->disconnect;

# who publishes may be a member

$p->subscribe('$share/own/b' => 1);
$p->publish_wait('b', 'mine', qos => 1);
is($p->recv_message->{payload}, 'mine', 'to whom it came from');
$p->unsubscribe('$share/own/b');

# all versions

my %members = map {
    $_ => client_on($t, ($t->worker_pids)[$_ % 2], version => $_)
} 3 .. 5;

is(join(' ', map { @{ $_->subscribe('$share/g/v' => 1)->{codes} } }
                 @members{3 .. 5}), '1 1 1', 'members of all versions');

for my $version (3 .. 5) {
    my $from = client_on($t, ($t->worker_pids)[0], version => $version);
    $from->publish_wait('v', "$version $_", qos => 1) for 1 .. 4;
}

%got = collect(12, %members);

is(join(' ', map { scalar @{ $got{$_} } } 3 .. 5), '4 4 4', 'equally');
is(join(' ', sort map { @$_ } values %got),
   join(' ', map { my $v = $_; map { "$v $_" } 1 .. 4 } 3 .. 5), 'each once');

$_->disconnect for values %members, $c, $d;

# a client that asks for small packets only gets no larger ones, and keeps none

my $small = client_on($t, ($t->worker_pids)[1],
                      props => [ [ maximum_packet_size => 100 ] ]);
$small->subscribe('$share/g/s' => 1);

$p->publish_wait('s', 'x' x 200, qos => 1);
$p->publish_wait('s', 'small', qos => 1);
is($small->recv_message->{payload}, 'small', 'too large for a member');

$small->send(DISCONNECT => reason => 0x99);
$small->expect_close;
ok(wait_for { $t->total('subscriptions') == 0 }, 'all have left');

# a reload: the old worker's members are disconnected, what they have not
# acknowledged goes to those in the new ones

my $keeps = client_on($t, ($t->worker_pids)[1], auto_ack => 0);
$keeps->subscribe('$share/g/r' => 1);

$p->publish_wait('r', $_, qos => 1) for 1 .. 6;
%got = collect(4, keeps => $keeps);
is(join(' ', @{ $got{keeps} }), '1 2 3 4', 'reload: its window');

my @old = $t->worker_pids;

# the old worker goes on when there is a new member

kill 'STOP', $old[1];
$t->signal('HUP');

my @new;

wait_for {
    @new = grep { my $pid = $_; !grep { $_ == $pid } @old } $t->worker_pids;
    @new == 2;
} or diag('not reloaded');

my $new = client_on($t, $new[0]);
$new->subscribe('$share/g/r' => 1);

kill 'CONT', $old[1];

%got = collect(6, new => $new);

is(join(' ', @{ $got{new} }), '1 2 3 4 5 6',
   'reload: all go to the member in a new worker');

$p = client_on($t, $new[1]);
$p->publish_wait('r', $_, qos => 1) for 7 .. 9;
%got = collect(3, new => $new);

is(join(' ', @{ $got{new} }), '7 8 9', 'reload: and later ones');
ok(wait_for { !$t->old_worker_pids }, 'reload: the old workers end');

###############################################################################
